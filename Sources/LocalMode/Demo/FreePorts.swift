import NIOCore
import NIOPosix

/// Ports of the loopback interface that nobody listens on now.
enum FreePorts {
  static func take(_ count: Int) async throws -> [Int] {
    var channels: [any Channel] = []
    let bootstrap = ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
    for _ in 0..<count { channels.append(try await bootstrap.bind(host: "127.0.0.1", port: 0).get()) }
    let ports = channels.compactMap { $0.localAddress?.port }
    for channel in channels { try await channel.close() }
    return ports
  }
}
