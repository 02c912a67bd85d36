import AsyncHTTPClient
import CASACore
import Enforcement
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import EnvoyAuthorization

/// Says of every token that it is not active, in the same words to every connection.
private final class Inactive: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"active\":false}"
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
    context.close(promise: nil)
  }
}

@Suite("A workload's way to the runtime")
struct RuntimeClientTests {
  private let group = MultiThreadedEventLoopGroup.singleton

  private func listen(on port: Int) async throws -> any Channel {
    try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Inactive()) }
      }
      .bind(host: "127.0.0.1", port: port).get()
  }

  /// Runs `test` with a client of a port on which nothing listens yet.
  private func withClient(_ test: (RuntimeClient, _ port: Int) async throws -> Void) async throws {
    let reserved = try await listen(on: 0)
    let port = try #require(reserved.localAddress?.port)
    try await reserved.close()
    let http = HTTPClient(
      eventLoopGroupProvider: .shared(group), configuration: EnvoyAuthorizationService.clientConfiguration)
    let result: Result<Void, any Error>
    do {
      let client = RuntimeClient(
        http: http, baseURL: "http://127.0.0.1:\(port)", authorization: "Basic eDp4", clock: .system,
        logger: Logger(label: "test"))
      result = .success(try await test(client, port))
    } catch {
      result = .failure(error)
    }
    try await http.shutdown()
    try result.get()
  }

  @Test("works at once when the runtime is back, however many questions found it gone")
  func recovery() async throws {
    try await withClient { client, port in
      await withTaskGroup(of: Void.self) { questions in
        for _ in 0..<64 {
          questions.addTask {
            await #expect { _ = try await client.introspect("a.b.c") } throws: {
              ($0 as? Refusal)?.reason == .runtimeUnavailable
            }
          }
        }
      }
      let runtime = try await listen(on: port)
      #expect(try await client.introspect("a.b.c") == nil)
      try await runtime.close()
    }
  }

  @Test("waits a little for a runtime that is being started anew")
  func restart() async throws {
    try await withClient { client, port in
      async let answer = client.introspect("a.b.c")
      // Long enough for the first attempt to fail on all but a very busy machine, where this proves nothing.
      try await Task.sleep(for: .milliseconds(150))
      let runtime = try await listen(on: port)
      #expect(try await answer == nil)
      try await runtime.close()
    }
  }
}
