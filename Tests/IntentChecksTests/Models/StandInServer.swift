import AgentProtocols
import AsyncHTTPClient
import CASACore
import IntentChecks
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import Testing

/// A server on this machine that stands in for one with a model. No model is behind it: each test says what it
/// answers, and how it fails.
final class StandInServer: Sendable {
  /// One request as it came.
  struct Request: Sendable {
    let path: String
    /// The values of its `Authorization` fields.
    let authorization: [String]
    let json: JSONValue

    /// The text of the message with this role.
    func message(_ role: String) -> String {
      json["messages"]?.array?.first { $0["role"]?.string == role }?["content"]?.string ?? ""
    }
  }

  indirect enum Reply: Sendable {
    case answer(Int, JSONValue, headers: [(String, String)] = [])
    /// A body that is sent as it is, with its length.
    case body(String)
    /// Bytes instead of HTTP.
    case bytes(String)
    /// A body that begins and then grows by some bytes each few milliseconds, for ever.
    case dripping(of: String)
    /// As much body as is taken, for ever.
    case flood
    /// Half an answer, then the connection ends.
    case brokenOff
    case silence
    /// What the reply is, once the future is there.
    case held(EventLoopFuture<Void>, Reply)
  }

  private struct State {
    var requests: [Request] = []
    var connections = 0
    var underWay = 0
    var mostUnderWay = 0
  }

  private let state = Mutex(State())
  private let script: @Sendable (Request, _ number: Int) -> Reply

  private init(_ script: @escaping @Sendable (Request, _ number: Int) -> Reply) { self.script = script }

  var requests: [Request] { state.withLock { $0.requests } }
  var connections: Int { state.withLock { $0.connections } }
  /// The most requests that were unanswered at once.
  var mostUnderWay: Int { state.withLock { $0.mostUnderWay } }

  /// Runs `test` beside a server that answers by `script`, which gets each request with its number from 1.
  static func run(
    certificate: NIOSSLContext? = nil, _ script: @escaping @Sendable (Request, _ number: Int) -> Reply,
    _ test: (StandInServer, _ url: String, HTTPClient) async throws -> Void
  ) async throws {
    let server = StandInServer(script)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 256)
      .childChannelInitializer { child in
        child.eventLoop.makeCompletedFuture {
          server.state.withLock { $0.connections += 1 }
          let pipeline = child.pipeline.syncOperations
          if let certificate { try pipeline.addHandler(NIOSSLServerHandler(context: certificate)) }
          try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
          try pipeline.addHandler(Connection(server: server))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(channel.localAddress?.port)
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: ModelEndpoint.clientConfiguration)
    let result: Result<Void, any Error>
    do {
      let scheme = certificate == nil ? "http" : "https"
      result = .success(try await test(server, "\(scheme)://127.0.0.1:\(port)/v1", http))
    } catch {
      result = .failure(error)
    }
    try await http.shutdown()
    try await channel.close()
    try result.get()
  }

  private func reply(to request: Request) -> Reply {
    let number = state.withLock { state in
      state.requests.append(request)
      state.underWay += 1
      state.mostUnderWay = max(state.mostUnderWay, state.underWay)
      return state.requests.count
    }
    return script(request, number)
  }

  private func answered() { state.withLock { $0.underWay -= 1 } }

  /// Reads requests and writes what the script says.
  private final class Connection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = ByteBuffer

    private let server: StandInServer
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []

    init(server: StandInServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): (self.head, body) = (head, [])
      case .body(let part): body += part.readableBytesView
      case .end:
        guard let head else { return }
        let request = Request(
          path: head.uri, authorization: head.headers["authorization"], json: (try? JSONValue(parsing: body)) ?? .null)
        write(server.reply(to: request), context: context)
      }
    }

    private func write(_ reply: Reply, context: ChannelHandlerContext) {
      switch reply {
      case .answer(let status, let json, let headers):
        let body = json.canonicalText
        let fields = headers.map { "\($0): \($1)\r\n" }.joined()
        finish("HTTP/1.1 \(status) X\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)", context)
      case .body(let body): finish("HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)", context)
      case .bytes(let bytes): finish(bytes, context)
      case .dripping(let bytes):
        send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", context)
        Self.drip("\(String(bytes.utf8.count, radix: 16))\r\n\(bytes)\r\n", context.channel)
      case .flood:
        send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", context)
        Self.flood("100000\r\n\(String(repeating: " ", count: 1 << 20))\r\n", context.channel)
      case .brokenOff:
        finish("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"data\":", context)
        context.close(promise: nil)
      case .silence: break
      case .held(let gate, let reply):
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        let handler = NIOLoopBound(self, eventLoop: context.value.eventLoop)
        gate.hop(to: context.value.eventLoop).whenComplete { _ in handler.value.write(reply, context: context.value) }
      }
    }

    private func finish(_ text: String, _ context: ChannelHandlerContext) {
      server.answered()
      send(text, context)
    }

    private func send(_ text: String, _ context: ChannelHandlerContext) {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }

    private static func drip(_ text: String, _ channel: any Channel) {
      channel.eventLoop.scheduleTask(in: .milliseconds(2)) {
        guard channel.isActive else { return }
        channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
        drip(text, channel)
      }
    }

    private static func flood(_ text: String, _ channel: any Channel) {
      channel.writeAndFlush(ByteBuffer(string: text)).whenSuccess { flood(text, channel) }
    }
  }
}
