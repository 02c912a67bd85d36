import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// One question to gRPC's health service (grpc.health.v1.Health/Check) over HTTP/2 without TLS, as the kubelet asks it.
struct GRPCHealthQuestion: Sendable {
  /// An answer has a few bytes; a longer one is none.
  private static let maximumAnswerBytes = 1024
  private typealias Stream = NIOAsyncChannel<HTTP2Frame.FramePayload, HTTP2Frame.FramePayload>

  /// An empty name is that of the server as a whole.
  let service: String

  /// - Throws: when there is no connection, or no whole answer in time.
  func isServing(host: String, port: Int, within time: TimeAmount) async throws -> Bool {
    let (connection, streams) = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connectTimeout(time)
      .connect(host: host, port: port) { channel in
        channel.configureAsyncHTTP2Pipeline(mode: .client) { stream in stream.close() }
          .map { (channel, $0) }
      }
    // What waits for the answer ends with the connection.
    let deadline = connection.eventLoop.scheduleTask(in: time) { connection.close(promise: nil) }
    defer {
      deadline.cancel()
      connection.close(promise: nil)
    }
    let stream: Stream = try await streams.openStream { channel in
      channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
    }
    return try await stream.executeThenClose { inbound, outbound in
      try await outbound.write(.headers(.init(headers: headers(authority: "\(host):\(port)"))))
      try await outbound.write(.data(.init(data: .byteBuffer(ByteBuffer(bytes: message)), endStream: true)))
      var answer: [UInt8] = []
      for try await frame in inbound {
        switch frame {
        case .headers(let part):
          if let status = part.headers.first(name: ":status"), status != "200" { return false }
          if let status = part.headers.first(name: "grpc-status") {
            return status == "0" && Self.saysServing(answer)
          }
        case .data(let part):
          guard case .byteBuffer(let bytes) = part.data,
            answer.count + bytes.readableBytes <= Self.maximumAnswerBytes
          else { return false }
          answer.append(contentsOf: bytes.readableBytesView)
        default: continue
        }
      }
      return false
    }
  }

  private func headers(authority: String) -> HPACKHeaders {
    [
      ":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": authority,
      "content-type": "application/grpc", "te": "trailers", "user-agent": "kube-probe/casa",
    ]
  }

  /// HealthCheckRequest: `string service = 1`, of at most 256 bytes, behind gRPC's prefix.
  var message: [UInt8] {
    var field: [UInt8] = []
    if !service.isEmpty {
      let length = service.utf8.count
      field = [0x0A] + (length < 0x80 ? [UInt8(length)] : [UInt8(length & 0x7F | 0x80), UInt8(length >> 7)])
      field += service.utf8
    }
    return [0, 0, 0, UInt8(field.count >> 8), UInt8(field.count & 0xFF)] + field
  }

  /// HealthCheckResponse: `ServingStatus status = 1`, of which SERVING is 1; uncompressed, behind gRPC's prefix.
  static func saysServing(_ answer: [UInt8]) -> Bool { answer == [0, 0, 0, 0, 2, 0x08, 0x01] }
}
