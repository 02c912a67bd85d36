import AgentProtocols
import AsyncHTTPClient
import CASACore
import NIOCore
import NIOHTTP1
import TokenService

/// Lists an MCP server's tools over Streamable HTTP, as any client would: by handshake, or without one where the
/// server only speaks the stateless revision.
struct MCPToolLister: ToolSource {
  private static let handshakeVersion = "2025-06-18"
  private static let statelessVersion = "2026-07-28"
  private static let maximumBytes = 4 << 20
  private static let timeout = TimeAmount.seconds(10)
  private static let maximumPages = 50
  /// For the whole of it: a server may begin an answer and never end it.
  private static let patience = Duration.seconds(30)

  let client: HTTPClient

  func tools(of app: App, token: IssuedToken) async throws -> [MCPToolDefinition] {
    try await withThrowingTaskGroup(of: [MCPToolDefinition].self) { group in
      group.addTask { try await list(app, token: token) }
      group.addTask {
        try await Task.sleep(for: Self.patience)
        throw DiscoveryError("the server took longer than \(Self.patience)")
      }
      defer { group.cancelAll() }
      guard let tools = try await group.next() else { throw DiscoveryError("the server did not answer") }
      return tools
    }
  }

  private func list(_ app: App, token: IssuedToken) async throws -> [MCPToolDefinition] {
    guard let url = app.settings.baseURL else { throw DiscoveryError("the app has no base_url") }
    let exchange = Exchange(client: client, url: url, token: token)
    guard let initialized = try await exchange.send(id: 1, method: "initialize", params: Self.handshake) else {
      return try await list(exchange, version: Self.statelessVersion, session: nil)
    }
    let version = initialized.result["protocolVersion"]?.string ?? Self.handshakeVersion
    try await exchange.notify("notifications/initialized", version: version, session: initialized.session)
    return try await list(exchange, version: version, session: initialized.session)
  }

  private func list(_ exchange: Exchange, version: String, session: String?) async throws -> [MCPToolDefinition] {
    var tools: [MCPToolDefinition] = []
    var cursor: String?
    for page in 0..<Self.maximumPages {
      var params: [String: JSONValue] = cursor.map { ["cursor": .string($0)] } ?? [:]
      if version == Self.statelessVersion { params["_meta"] = Self.envelope }
      guard
        let answer = try await exchange.send(
          id: page + 2, method: "tools/list", params: .object(params), version: version, session: session)
      else { throw DiscoveryError("the server answered tools/list with an error") }
      let (listed, next) = try MCPToolDefinition.parseList(answer.result)
      tools += listed
      guard tools.count <= MCPToolDefinition.maximumTools, Set(tools.map(\.name)).count == tools.count else {
        throw DiscoveryError("the server lists too many tools, or one twice")
      }
      guard let next else { return tools }
      cursor = next
    }
    throw DiscoveryError("the server's list has more than \(Self.maximumPages) pages")
  }

  private static let clientInfo: JSONValue = ["name": "casa-runtime", "version": "1"]
  private static let handshake: JSONValue = [
    "protocolVersion": .string(handshakeVersion), "capabilities": [:], "clientInfo": clientInfo,
  ]
  private static let envelope: JSONValue = [
    "io.modelcontextprotocol/protocolVersion": .string(statelessVersion),
    "io.modelcontextprotocol/clientInfo": clientInfo, "io.modelcontextprotocol/clientCapabilities": [:],
  ]

  /// One conversation with one server.
  private struct Exchange {
    let client: HTTPClient
    let url: String
    let token: IssuedToken

    /// - Returns: nil when the server answers with an error.
    func send(
      id: Int, method: String, params: JSONValue, version: String? = nil, session: String? = nil
    ) async throws -> (result: JSONValue, session: String?)? {
      let message: JSONValue = [
        "jsonrpc": "2.0", "id": .number(Double(id)), "method": .string(method), "params": params,
      ]
      let response = try await post(message, method: method, version: version, session: session)
      let body = try await response.body.collect(upTo: maximumBytes)
      let type = response.headers.first(name: "content-type")?.lowercased() ?? ""
      guard (200..<300).contains(Int(response.status.code)) else {
        if response.status.code == 401 || response.status.code == 403 {
          throw DiscoveryError("the server's sidecar answered \(response.status.code)")
        }
        return nil
      }
      let answer: JSONValue?
      if type.hasPrefix("text/event-stream") {
        var parser = ServerSentEventParser(maximumEventBytes: maximumBytes)
        answer = try parser.feed(Array(body.readableBytesView)).lazy
          .compactMap { try? JSONValue(parsing: $0.data, limits: Self.limits) }
          .first { $0["id"]?.integer == Int64(id) }
      } else {
        answer = try JSONValue(parsing: Array(body.readableBytesView), limits: Self.limits)
      }
      guard let result = answer?["result"] else { return nil }
      return (result, response.headers.first(name: "mcp-session-id"))
    }

    func notify(_ method: String, version: String, session: String?) async throws {
      let message: JSONValue = ["jsonrpc": "2.0", "method": .string(method)]
      _ = try await post(message, method: method, version: version, session: session).body.collect(upTo: 65_536)
    }

    private func post(
      _ message: JSONValue, method: String, version: String?, session: String?
    ) async throws -> HTTPClientResponse {
      var request = HTTPClientRequest(url: url)
      request.method = .POST
      request.headers = [
        "authorization": "Bearer " + token.compact, "content-type": "application/json",
        "accept": "application/json, text/event-stream",
      ]
      if let trace = token.claims.traceID {
        request.headers.add(name: "traceparent", value: TraceParent.random(traceID: trace).text)
      }
      if let version { request.headers.add(name: "mcp-protocol-version", value: version) }
      if version == statelessVersion { request.headers.add(name: "mcp-method", value: method) }
      if let session { request.headers.add(name: "mcp-session-id", value: session) }
      request.body = .bytes(ByteBuffer(bytes: message.canonicalBytes))
      do {
        return try await client.execute(request, timeout: timeout)
      } catch {
        throw DiscoveryError("\(url) can't be reached")
      }
    }

    private static let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 64, maximumNodes: 200_000)
  }
}
