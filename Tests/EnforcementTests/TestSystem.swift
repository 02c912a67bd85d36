import AgentProtocols
import CASACore
import Synchronization
import Testing

@testable import Enforcement

/// A clock that stands still until a test moves it.
final class TestClock: Sendable {
  static let start = Timestamp(seconds: 1_800_000_000)
  private let moment = Mutex(start)
  var now: Timestamp { moment.withLock { $0 } }
  var wallClock: WallClock { WallClock { self.now } }
  func advance(by interval: Duration) { moment.withLock { $0 = $0 + interval } }
}

/// Why an operation is refused; nil when it is not.
func refusal(_ operation: () throws(Refusal) -> Void) -> RefusalReason? {
  do {
    try operation()
    return nil
  } catch {
    return error.reason
  }
}

/// A client `client`, an agent `agent` and an MCP server `mcp` of one MAS, as the runtime describes them.
enum TestSystem {
  static let trace = "0af7651916cd43dd8448eb211c80319c"
  static let otherTrace = "1af7651916cd43dd8448eb211c80319c"
  static func traceParent(_ trace: String) -> String { "00-\(trace)-b7ad6b7169203331-01" }
  static let arguments: JSONValue = ["city": "Ulm", "days": 2]

  private static func app(_ name: String, _ kind: String) -> [String: JSONValue] {
    ["id": .string("app_" + name), "mas_id": "mas_1", "name": .string(name), "kind": .string(kind)]
  }

  /// - Parameter methods: what is let through beside tools, to every MCP server.
  static func identity(
    _ name: String, _ kind: String, methods: [String] = [], promptPath: String? = nil
  ) throws -> WorkloadIdentity {
    let allowed = JSONValue.array(methods.map(JSONValue.string))
    var members = app(name, kind)
    members["allowed_methods"] = allowed
    members["prompt_json_path"] = promptPath.map(JSONValue.string)
    members["peers"] = .array(
      [("client", "client"), ("agent", "agent"), ("mcp", "mcp_server")].map { name, kind in
        .object(app(name, kind).merging(["allowed_methods": allowed]) { $1 })
      })
    return try #require(WorkloadIdentity(.object(members)))
  }

  static func claims(
    _ scope: Scope = .userInput, for app: String, actors: [AppID] = [], words: String? = nil,
    call: ToolCallBinding? = nil,
    change: (inout TokenClaims) -> Void = { _ in }
  ) -> TokenClaims {
    var claims = TokenClaims(
      issuer: "i", subject: AppID("app_client"),
      audience: [Audience.mas(MASID("mas_1")), Audience.app(AppID("app_" + app))],
      clientID: AppID("app_caller"), issuedAt: TestClock.start, notBefore: TestClock.start,
      expiresAt: TestClock.start + .seconds(300), id: TokenID("t"), scope: scope, actors: actors, masID: MASID("mas_1"),
      userInputID: scope == .discoverTools ? nil : UserInputID("ui_1"), traceID: TraceID(trace),
      userInputSHA256: words.map(textDigest), tools: call.map { [$0.tool] } ?? [], call: call)
    change(&claims)
    return claims
  }

  /// A token that says `claims`, which nobody signed: whether it is true is for the runtime to say.
  static func token(_ claims: TokenClaims) -> String {
    [#"{"alg":"ES256","typ":"at+jwt"}"#, claims.json.canonicalText, "s"].map { Base64URL.encode($0.utf8) }
      .joined(separator: ".")
  }

  /// The claims of a token for one call of `tool`.
  static func toolClaims(
    server: String = "mcp", tool: String = "weather", arguments: JSONValue = arguments,
    change: (inout TokenClaims) -> Void = { _ in }
  ) throws -> TokenClaims {
    let binding = ToolCallBinding(
      server: try #require(Name(server)), tool: try #require(ToolName(tool)),
      argumentsSHA256: argumentsSHA256(try #require(arguments.object)))
    return claims(.callTools, for: "mcp", call: binding, change: change)
  }

  /// - Parameter id: nil for a notification.
  static func rpc(_ method: String, _ params: JSONValue = [:], id: Int? = 1) -> String {
    var request: [String: JSONValue] = ["jsonrpc": "2.0", "method": .string(method), "params": params]
    request["id"] = id.map { .number(Double($0)) }
    return JSONValue.object(request).canonicalText
  }

  static func toolCall(_ tool: String = "weather", _ arguments: JSONValue = arguments) -> String {
    rpc("tools/call", ["name": .string(tool), "arguments": arguments])
  }

  static func message(_ text: String?, context: String? = nil) -> String {
    var message: [String: JSONValue] = [
      "role": "user", "messageId": "m", "parts": [text.map { ["text": .string($0)] } ?? ["data": 1]],
    ]
    message["contextId"] = context.map(JSONValue.string)
    return rpc("SendMessage", ["message": .object(message)])
  }

  static func chat(_ text: String = "hello") -> String {
    let body: JSONValue = ["model": "m", "messages": [["role": "user", "content": .string(text)]]]
    return body.canonicalText
  }

  static func request(
    _ method: String, _ path: String, query: String? = nil, body: String = "", token: TokenClaims? = nil,
    trace: String? = nil, headers: [(String, String)] = []
  ) -> InterceptedRequest {
    var all = headers.map { (name: $0.0, value: $0.1) }
    if !body.isEmpty, !headers.contains(where: { $0.0 == "content-type" }) {
      all.append(("content-type", "application/json"))
    }
    if let token { all.append(("authorization", "Bearer " + self.token(token))) }
    if let trace { all.append(("traceparent", traceParent(trace))) }
    return InterceptedRequest(method: method, path: path, query: query, headers: all, body: Array(body.utf8))
  }

  /// A POST.
  static func request(
    _ path: String, query: String? = nil, body: String = "", token: TokenClaims? = nil, trace: String? = nil,
    headers: [(String, String)] = []
  ) -> InterceptedRequest {
    request("POST", path, query: query, body: body, token: token, trace: trace, headers: headers)
  }
}
