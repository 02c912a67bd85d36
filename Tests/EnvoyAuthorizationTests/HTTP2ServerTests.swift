import Foundation
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import Sidecar
import Testing

@testable import EnvoyAuthorization

private typealias Client = NIOAsyncChannel<HTTP2Frame, HTTP2Frame>

/// A server on a socket of its own, and a client that writes and reads frames.
private func withServer(
  limits: HTTP2Limits = HTTP2Limits(), route: @escaping @Sendable (HPACKHeaders) -> HTTP2Exchange,
  _ body:
    @Sendable (inout NIOAsyncChannelInboundStream<HTTP2Frame>.AsyncIterator, NIOAsyncChannelOutboundWriter<HTTP2Frame>)
    async throws -> Void
) async throws {
  let path = FileManager.default.temporaryDirectory.path + "/casa-\(UInt64.random(in: 0...UInt64.max)).sock"
  let address = ListenAddress.unix(path: path)
  let server = HTTP2Server(
    address: address, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), limits: limits, route: route)
  let (started, start) = AsyncStream.makeStream(of: Void.self)
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await server.run { start.yield() } }
    for await _ in started { break }
    let client: Client = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connect(unixDomainSocketPath: path) { channel in
        channel.eventLoop.makeCompletedFuture {
          // Its own limits are not what is tested.
          try channel.pipeline.syncOperations.addHandler(NIOHTTP2Handler(mode: .client))
          return try Client(wrappingChannelSynchronously: channel)
        }
      }
    try await client.executeThenClose { inbound, outbound in
      var iterator = inbound.makeAsyncIterator()
      try await body(&iterator, outbound)
    }
    group.cancelAll()
    while case .failure = await group.nextResult() {}
  }
  unlink(path)
}

private func head(_ path: String = "/x", _ more: HPACKHeaders = [:]) -> HPACKHeaders {
  var head: HPACKHeaders = [":method": "POST", ":path": path, ":scheme": "http", ":authority": "casa"]
  head.add(contentsOf: more)
  return head
}

private func headers(_ id: Int, _ fields: HPACKHeaders = head(), end: Bool = false) -> HTTP2Frame {
  HTTP2Frame(streamID: HTTP2StreamID(id), payload: .headers(.init(headers: fields, endStream: end)))
}

private func data(_ id: Int, _ bytes: some Collection<UInt8>, end: Bool = false) -> HTTP2Frame {
  HTTP2Frame(
    streamID: HTTP2StreamID(id), payload: .data(.init(data: .byteBuffer(ByteBuffer(bytes: bytes)), endStream: end)))
}

/// What came back on streams, until `count` of them have ended.
private func answers(
  _ count: Int, _ inbound: inout NIOAsyncChannelInboundStream<HTTP2Frame>.AsyncIterator
) async throws -> [Int: (fields: [String: String], body: [UInt8])] {
  var found: [Int: (fields: [String: String], body: [UInt8])] = [:]
  var ended: Set<Int> = []
  while ended.count < count, let frame = try await inbound.next() {
    let id = Int(frame.streamID)
    switch frame.payload {
    case .headers(let payload):
      for (name, value, _) in payload.headers { found[id, default: ([:], [])].fields[name] = value }
      if payload.endStream { ended.insert(id) }
    case .data(let payload):
      guard case .byteBuffer(let bytes) = payload.data else { continue }
      found[id, default: ([:], [])].body += bytes.readableBytesView
      if payload.endStream { ended.insert(id) }
    case .goAway: return found
    default: break
    }
  }
  return found
}

private func whole(
  limit: Int = 1000, _ answer: @escaping @Sendable ([UInt8]) async -> HTTP2Answer
) -> HTTP2Exchange {
  .whole(
    WholeExchange(limit: limit, tooLarge: HTTP2Answer(status: 413), tooLate: HTTP2Answer(status: 504), answer: answer))
}

/// Answers each message with the number of those before it, after a turn of the loop.
private struct Counting: GRPCMessageExchange {
  var count: UInt8 = 0
  mutating func answer(_ message: [UInt8]) async throws(GRPCStatus) -> [UInt8]? {
    await Task.yield()
    count += 1
    if message == [0xFF] { throw GRPCStatus(.aborted, "enough") }
    return message.isEmpty ? nil : [count] + message
  }
}

@Suite("The HTTP/2 server", .timeLimit(.minutes(1)))
struct HTTP2ServerTests {
  @Test("answers streams that are sent in pieces, each for itself")
  func interleaved() async throws {
    try await withServer { _ in
      whole { body in HTTP2Answer(head: [":status": "200"], body: ByteBuffer(bytes: body), trailers: ["t": "1"]) }
    } _: { inbound, outbound in
      try await outbound.write(headers(1))
      try await outbound.write(headers(3))
      try await outbound.write(data(1, [1, 2]))
      try await outbound.write(data(3, [9]))
      try await outbound.write(data(1, [3], end: true))
      try await outbound.write(data(3, [8], end: true))
      let found = try await answers(2, &inbound)
      #expect(found[1]?.body == [1, 2, 3] && found[3]?.body == [9, 8])
      #expect(found[1]?.fields == [":status": "200", "t": "1"])
    }
  }

  @Test("takes bodies larger than its windows, and none larger than the limit")
  func sizes() async throws {
    try await withServer { _ in
      whole(limit: 3 << 20) { body in HTTP2Answer(head: [":status": "200", "n": String(body.count)]) }
    } _: { inbound, outbound in
      try await outbound.write(headers(1))
      let block = [UInt8](repeating: 7, count: 16_000)
      for _ in 0..<190 { try await outbound.write(data(1, block)) }
      try await outbound.write(data(1, [], end: true))
      #expect(try await answers(1, &inbound)[1]?.fields["n"] == String(190 * 16_000))
      try await outbound.write(headers(3))
      for _ in 0..<200 { try? await outbound.write(data(3, block)) }
      #expect(try await answers(1, &inbound)[3]?.fields[":status"] == "413")
    }
  }

  @Test("holds no more of all bodies together than its limit")
  func budget() async throws {
    var limits = HTTP2Limits()
    limits.bufferedBytes = 1500
    try await withServer(limits: limits) { _ in
      whole { HTTP2Answer(head: [":status": "200", "n": String($0.count)]) }
    } _: {
      inbound, outbound in
      for id in [1, 3] {
        try await outbound.write(headers(id))
        try await outbound.write(data(id, [UInt8](repeating: 0, count: 900)))
      }
      #expect(try await answers(1, &inbound)[3]?.fields[":status"] == "413")
      try await outbound.write(data(1, [], end: true))
      #expect(try await answers(1, &inbound)[1]?.fields["n"] == "900")
    }
  }

  @Test("ends a request whose body, or whose answer, does not come in time")
  func deadlines() async throws {
    var limits = HTTP2Limits()
    limits.bodyTime = .milliseconds(200)
    try await withServer(limits: limits) { _ in
      whole { _ in
        try? await Task.sleep(for: .seconds(600))
        return HTTP2Answer(status: 200)
      }
    } _: { inbound, outbound in
      try await outbound.write(headers(1))
      #expect(try await answers(1, &inbound)[1]?.fields[":status"] == "504")
      try await outbound.write(headers(3, head("/x", ["grpc-timeout": "150m"]), end: true))
      #expect(try await answers(1, &inbound)[3]?.fields[":status"] == "504")
    }
  }

  @Test("hands messages of a stream on in order and one at a time")
  func messages() async throws {
    try await withServer { _ in
      .messages(Counting())
    } _: { inbound, outbound in
      try await outbound.write(headers(1))
      let frames = [[5], [], [6], [7]].flatMap { Array(GRPC.frame($0).readableBytesView) }
      try await outbound.write(data(1, frames[..<7]))
      try await outbound.write(data(1, frames[7...], end: true))
      let found = try await answers(1, &inbound)
      #expect(found[1]?.body == [[1, 5], [3, 6], [4, 7]].flatMap { Array(GRPC.frame($0).readableBytesView) })
      #expect(found[1]?.fields["grpc-status"] == "0")
    }
  }

  @Test("ends a stream with the status its handler gives, or for a message that is none")
  func statuses() async throws {
    try await withServer { _ in
      .messages(Counting())
    } _: { inbound, outbound in
      for (id, bytes, expected) in [
        (1, Array(GRPC.frame([0xFF]).readableBytesView), "10"), (3, [1, 0, 0, 0, 0], "12"), (5, [0, 0, 0], "3"),
        (7, [0, 0xFF, 0, 0, 0], "8"),
      ] as [(Int, [UInt8], String)] {
        try await outbound.write(headers(id))
        try await outbound.write(data(id, bytes, end: id == 5))
        #expect(try await answers(1, &inbound)[id]?.fields["grpc-status"] == expected)
      }
    }
  }

  @Test("ends a connection that resets stream after stream")
  func rapidReset() async throws {
    var limits = HTTP2Limits()
    limits.resets = 20
    try await withServer(limits: limits) { _ in
      whole { _ in
        try? await Task.sleep(for: .seconds(600))
        return HTTP2Answer(status: 200)
      }
    } _: { inbound, outbound in
      for id in stride(from: 1, through: 101, by: 2) {
        do {
          try await outbound.write(headers(id, end: true))
          try await outbound.write(HTTP2Frame(streamID: HTTP2StreamID(id), payload: .rstStream(.cancel)))
        } catch { break }
      }
      var code: HTTP2ErrorCode?
      while code == nil, let frame = try await inbound.next() {
        if case .goAway(_, let found, _) = frame.payload { code = found }
      }
      #expect(code == .enhanceYourCalm)
    }
  }
}
