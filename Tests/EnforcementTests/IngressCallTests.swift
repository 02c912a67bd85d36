import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

/// What is said of a request at `app`'s door.
private struct Door {
  let identity: WorkloadIdentity
  let point: EnforcementPoint

  static func mcp(methods: [String] = []) throws -> Door {
    Door(
      identity: try TestSystem.identity("mcp", "mcp_server", methods: methods),
      point: EnforcementPoint(.ingress, path: "/mcp"))
  }
  static func agent(promptPath: String? = nil) throws -> Door {
    Door(
      identity: try TestSystem.identity("agent", "agent", promptPath: promptPath),
      point: EnforcementPoint(.ingress, path: promptPath == nil ? "/a2a" : "/ask"))
  }

  func read(_ request: InterceptedRequest, _ record: inout RequestRecord) throws(Refusal) -> IngressCall {
    try IngressCall(request, at: point, identity: identity, tokens: ClaimedTokens(capacity: 2), record: &record)
  }
  func read(_ request: InterceptedRequest) throws(Refusal) -> IngressCall {
    var record = RequestRecord(direction: .ingress)
    return try read(request, &record)
  }
  func refusal(of request: InterceptedRequest) -> RefusalReason? {
    EnforcementTests.refusal { () throws(Refusal) in _ = try read(request) }
  }
  func admission(of request: InterceptedRequest) throws -> Admission {
    var record = RequestRecord(direction: .ingress)
    return try read(request, &record).admission(record: &record)
  }
}

@Suite("A call that wants to enter an MCP server")
struct MCPIngressTests {
  private let listing = TestSystem.rpc("tools/list")

  @Test("lists tools with a token of scope user-input or discover-tools that is for this server")
  func lists() throws {
    let door = try Door.mcp()
    for scope in [Scope.userInput, .discoverTools] {
      let call = try door.read(
        TestSystem.request("/mcp", body: listing, token: TestSystem.claims(scope, for: "mcp"), trace: TestSystem.trace))
      guard case .message(.toolListing) = call.content else {
        Issue.record("expected a listing")
        continue
      }
      #expect(!call.usesUpToken)
      #expect(call.caller == AppID("app_caller"))
    }
    let llm = TestSystem.request("/mcp", body: listing, token: TestSystem.claims(.llmAccess, for: "mcp"))
    #expect(door.refusal(of: llm) == .insufficientScope)
    let tool = TestSystem.request("/mcp", body: listing, token: try TestSystem.toolClaims())
    #expect(door.refusal(of: tool) == .insufficientScope)
  }

  @Test("is refused with a token for another app or of another MAS")
  func audience() throws {
    let door = try Door.mcp()
    for claims in [
      TestSystem.claims(for: "agent"), TestSystem.claims(for: "mcp") { $0.masID = MASID("mas_2") },
      TestSystem.claims(for: "mcp") { $0.audience = [Audience.mas(MASID("mas_1"))] },
    ] {
      #expect(door.refusal(of: TestSystem.request("/mcp", body: listing, token: claims)) == .tokenNotForThisApp)
    }
  }

  @Test("is refused without a token, with two, and with what is no token")
  func tokens() throws {
    let door = try Door.mcp()
    #expect(door.refusal(of: TestSystem.request("/mcp", body: listing)) == .tokenMissing)
    let claims = TestSystem.claims(for: "mcp")
    let token = "Bearer " + TestSystem.token(claims)
    #expect(
      door.refusal(of: TestSystem.request("/mcp", body: listing, token: claims, headers: [("authorization", token)]))
        == .duplicateHeader)
    for value in [
      "Bearer a.b.c", "Bearer", "Basic YTpi", token + ", Bearer x", token + "=", "Bearer e30.e30.AA",
      token.replacingScheme("DPoP"),
    ] {
      #expect(
        door.refusal(of: TestSystem.request("/mcp", body: listing, headers: [("authorization", value)]))
          == .tokenMalformed, "\(value)"
      )
    }
    let traceless = TestSystem.claims(for: "mcp") { $0.traceID = nil }
    #expect(door.refusal(of: TestSystem.request("/mcp", body: listing, token: traceless)) == .tokenMalformed)
  }

  @Test("has a token that names the same trace as `traceparent` and `_meta`")
  func traces() throws {
    let door = try Door.mcp()
    func refusal(_ claims: TokenClaims, header: String?, meta: String?) -> RefusalReason? {
      let params: JSONValue =
        meta.map { ["_meta": ["traceparent": .string(TestSystem.traceParent($0))]] } ?? [:]
      return door.refusal(
        of: TestSystem.request("/mcp", body: TestSystem.rpc("tools/list", params), token: claims, trace: header))
    }
    let claims = TestSystem.claims(for: "mcp")
    let (own, other) = (TestSystem.trace, TestSystem.otherTrace)
    for header in [nil, own] { for meta in [nil, own] { #expect(refusal(claims, header: header, meta: meta) == nil) } }
    for (header, meta) in [(other, nil), (nil, other), (own, other), (other, own), (other, other)] {
      #expect(refusal(claims, header: header, meta: meta) == .traceContextMismatch)
    }
    // Discovery belongs to no session.
    #expect(refusal(TestSystem.claims(.discoverTools, for: "mcp"), header: other, meta: other) == nil)
  }

  @Test("runs a tool with a token for this very call only")
  func toolCall() throws {
    let door = try Door.mcp()
    func refusal(_ claims: TokenClaims, body: String = TestSystem.toolCall()) -> RefusalReason? {
      door.refusal(of: TestSystem.request("/mcp", body: body, token: claims))
    }
    let call = try door.read(
      TestSystem.request("/mcp", body: TestSystem.toolCall(), token: try TestSystem.toolClaims()))
    #expect(call.usesUpToken)
    for scope in [Scope.userInput, .llmAccess, .discoverTools] {
      #expect(refusal(TestSystem.claims(scope, for: "mcp")) == .insufficientScope)
    }
    for claims in [
      try TestSystem.toolClaims(server: "other"), try TestSystem.toolClaims(tool: "forecast"),
      try TestSystem.toolClaims(arguments: ["city": "Ulm", "days": 3]), try TestSystem.toolClaims(arguments: [:]),
      try TestSystem.toolClaims { $0.tools = [] },
      try TestSystem.toolClaims { claims in claims.tools = claims.tools + claims.tools },
    ] {
      #expect(refusal(claims) == .tokenNotForThisCall)
    }
    let claims = try TestSystem.toolClaims()
    #expect(refusal(claims, body: TestSystem.toolCall("weathe")) == .tokenNotForThisCall)
    #expect(refusal(claims, body: TestSystem.toolCall("weather", [:])) == .tokenNotForThisCall)
    #expect(
      refusal(
        claims,
        body: #"{"params":{"arguments":{"days":2.0,"cit\u0079":"Ulm"},"name":"weather"},"#
          + #""method":"tools/call","id":9,"jsonrpc":"2.0"}"#) == nil)
  }

  @Test("opens and keeps a session with a token for discovery, and nothing beside")
  func discovery() throws {
    let discovery = TestSystem.claims(.discoverTools, for: "mcp")
    let door = try Door.mcp(methods: ["resources/read"])
    for method in ["initialize", "ping", "tools/list", "server/discover"] {
      let body = TestSystem.rpc(method, ["protocolVersion": "2025-11-25"])
      #expect(door.refusal(of: TestSystem.request("/mcp", body: body, token: discovery)) == nil, "\(method)")
    }
    for method in ["GET", "DELETE"] {
      #expect(door.refusal(of: TestSystem.request(method, "/mcp", token: discovery)) == nil)
    }
    let read = TestSystem.rpc("resources/read", ["uri": "a:b"])
    #expect(door.refusal(of: TestSystem.request("/mcp", body: read, token: discovery)) == .insufficientScope)
    #expect(
      door.refusal(of: TestSystem.request("/mcp", body: TestSystem.toolCall(), token: discovery)) == .insufficientScope)
    let agent = try Door.agent()
    let message = TestSystem.request(
      "/a2a", body: TestSystem.message("a"), token: TestSystem.claims(.discoverTools, for: "agent"))
    #expect(agent.refusal(of: message) == .insufficientScope)
  }

  @Test("uses a method beside the tools only where the server's registration names it")
  func restricted() throws {
    let read = TestSystem.request(
      "/mcp", body: TestSystem.rpc("resources/read", ["uri": "a:b"]), token: TestSystem.claims(for: "mcp"))
    #expect(try Door.mcp().refusal(of: read) == .methodNotAllowed)
    #expect(try Door.mcp(methods: ["resources/list", "resources/rea"]).refusal(of: read) == .methodNotAllowed)
    #expect(try Door.mcp(methods: ["resources/read"]).refusal(of: read) == nil)
  }

  @Test("streams and ends its session with a token of the session or of discovery")
  func streams() throws {
    let door = try Door.mcp()
    for method in ["GET", "DELETE"] {
      #expect(door.refusal(of: TestSystem.request(method, "/mcp", token: TestSystem.claims(for: "mcp"))) == nil)
      let llm = TestSystem.request(method, "/mcp", token: TestSystem.claims(.llmAccess, for: "mcp"))
      #expect(door.refusal(of: llm) == .insufficientScope)
      let tool = TestSystem.request(method, "/mcp", token: try TestSystem.toolClaims())
      #expect(door.refusal(of: tool) == .insufficientScope)
      let body = TestSystem.request(method, "/mcp", body: "{}", token: TestSystem.claims(for: "mcp"))
      #expect(door.refusal(of: body) == .malformedRequest)
    }
    #expect(
      door.refusal(of: TestSystem.request("PUT", "/mcp", token: TestSystem.claims(for: "mcp"))) == .protocolNotAllowed)
  }

  @Test(
    "is refused elsewhere, before anybody's token is looked at", arguments: ["/MCP", "/mcp/", "//mcp", "/", "/mcp2"])
  func paths(path: String) throws {
    #expect(try Door.mcp().refusal(of: TestSystem.request(path, body: listing)) == .protocolNotAllowed)
  }

  @Test("has no query and no header of CASA's own")
  func extras() throws {
    let door = try Door.mcp()
    let claims = TestSystem.claims(for: "mcp")
    #expect(
      door.refusal(of: TestSystem.request("/mcp", query: "a=1", body: listing, token: claims)) == .protocolNotAllowed)
    #expect(
      door.refusal(of: TestSystem.request("/mcp", query: "", body: listing, token: claims)) == .protocolNotAllowed)
    #expect(
      door.refusal(of: TestSystem.request("/mcp", body: listing, token: claims, headers: [("x-casa-read-answer", "1")]))
        == .reservedHeader)
    #expect(
      door.refusal(
        of: TestSystem.request("/mcp", body: listing, token: claims, headers: [("content-encoding", "gzip")]))
        == .protocolNotAllowed)
  }

  @Test("has a session id that only the app uses that used it first")
  func sessions() throws {
    let door = try Door.mcp()
    let call = try door.read(
      TestSystem.request(
        "/mcp", body: listing, token: TestSystem.claims(for: "mcp"), headers: [("mcp-session-id", "s-1")]))
    #expect(call.mcpSession == MCPSessionID("s-1"))
    #expect(refusal { () throws(Refusal) in try call.check(sessionOwner: nil) } == nil)
    #expect(refusal { () throws(Refusal) in try call.check(sessionOwner: AppID("app_caller")) } == nil)
    #expect(refusal { () throws(Refusal) in try call.check(sessionOwner: AppID("app_other")) } == .sessionUnknown)
    let resuming = try door.read(
      TestSystem.request(
        "GET", "/mcp", token: TestSystem.claims(for: "mcp"),
        headers: [("mcp-session-id", "s-1"), ("last-event-id", "7")]))
    #expect(refusal { () throws(Refusal) in try resuming.check(sessionOwner: nil) } == .sessionUnknown)
    #expect(refusal { () throws(Refusal) in try resuming.check(sessionOwner: AppID("app_caller")) } == nil)
    for id in ["", "a b", "\u{e9}", String(repeating: "a", count: 257)] {
      let request = TestSystem.request(
        "/mcp", body: listing, token: TestSystem.claims(for: "mcp"), headers: [("mcp-session-id", id)])
      #expect(door.refusal(of: request) == .malformedRequest)
    }
  }

  @Test("reaches the server without its token and with its trace")
  func admission() throws {
    let door = try Door.mcp()
    let claims = TestSystem.claims(for: "mcp")
    let bare = try door.admission(of: TestSystem.request("/mcp", body: listing, token: claims))
    #expect(bare.removeHeaders == ["authorization"])
    #expect(bare.setHeaders.map(\.name) == ["traceparent"])
    #expect(bare.setHeaders.first.flatMap { TraceParent($0.value)?.traceID.text } == TestSystem.trace)
    #expect(bare.tokenHash == tokenHash(TestSystem.token(claims)))
    #expect(bare.userInputID == UserInputID("ui_1"))
    let traced = try door.admission(
      of: TestSystem.request("/mcp", body: listing, token: claims, trace: TestSystem.trace))
    #expect(traced.setHeaders.isEmpty)
    #expect(traced.removeHeaders == ["authorization"])
  }

  @Test("is recorded with what it is, also when it is refused")
  func record() throws {
    var record = RequestRecord(direction: .ingress)
    let claims = TestSystem.claims(for: "agent")
    let request = TestSystem.request("/mcp", body: TestSystem.toolCall(), token: claims)
    #expect(throws: Refusal.self) { try Door.mcp().read(request, &record) }
    #expect(record.destination == "mcp")
    #expect(record.method == "tools/call")
    #expect(record.tool?.text == "weather")
    #expect(record.tokenHash == tokenHash(TestSystem.token(claims)))
    #expect(record.traceID?.text == TestSystem.trace)
    #expect(record.requestID == .integer(1))
  }
}

@Suite("A call that wants to enter an agent")
struct AgentIngressTests {
  @Test("carries, from the client itself, the words that its token was issued for")
  func words() throws {
    let door = try Door.agent()
    func refusal(_ claims: TokenClaims, _ text: String?) -> RefusalReason? {
      door.refusal(of: TestSystem.request("/a2a", body: TestSystem.message(text), token: claims))
    }
    #expect(refusal(TestSystem.claims(for: "agent", words: "pay 1"), "pay 1") == nil)
    #expect(refusal(TestSystem.claims(for: "agent", words: "pay 1"), "pay 2") == .userInputMismatch)
    #expect(refusal(TestSystem.claims(for: "agent", words: "pay 1"), "pay 1 ") == .userInputMismatch)
    // Further on it is an agent's words.
    #expect(refusal(TestSystem.claims(for: "agent", actors: [AppID("app_x")], words: "pay 1"), "pay 2") == nil)
    // A message of data alone.
    #expect(refusal(TestSystem.claims(for: "agent", words: "pay 1"), nil) == .userInputMismatch)
    #expect(refusal(TestSystem.claims(for: "agent", actors: [AppID("app_x")], words: "pay 1"), nil) == nil)
    for scope in [Scope.llmAccess, .discoverTools] {
      #expect(refusal(TestSystem.claims(scope, for: "agent"), "pay 1") == .insufficientScope)
    }
  }

  @Test("carries the words at their configured place when the agent has an API of its own")
  func ownAPI() throws {
    let door = try Door.agent(promptPath: "$.q")
    let claims = TestSystem.claims(for: "agent", words: "pay 1")
    #expect(try door.read(TestSystem.request("/ask", body: #"{"q":"pay 1"}"#, token: claims)).text == "pay 1")
    #expect(door.refusal(of: TestSystem.request("/ask", body: #"{"q":"pay 2"}"#, token: claims)) == .userInputMismatch)
    #expect(door.refusal(of: TestSystem.request("/ask", body: #"{"p":"pay 1"}"#, token: claims)) == .userInputMissing)
    #expect(
      door.refusal(of: TestSystem.request("/ask", body: #"{"q":"a","q":"b"}"#, token: claims)) == .malformedRequest)
    #expect(door.refusal(of: TestSystem.request("GET", "/ask", token: claims)) == .protocolNotAllowed)
    for path in ["/ask/", "/.well-known/agent-card.json"] {
      #expect(door.refusal(of: TestSystem.request("GET", path, token: claims)) == .protocolNotAllowed)
    }
    #expect(
      door.refusal(of: TestSystem.request("/ask", query: "x", body: #"{"q":"pay 1"}"#, token: claims))
        == .protocolNotAllowed)
  }

  @Test("gets the agent's card with a token of scope user-input or discover-tools")
  func card() throws {
    let door = try Door.agent()
    for scope in [Scope.userInput, .discoverTools] {
      let call = try door.read(
        TestSystem.request("GET", "/.well-known/agent-card.json", token: TestSystem.claims(scope, for: "agent")))
      guard case .card = call.content else {
        Issue.record("expected a card")
        continue
      }
    }
    let llm = TestSystem.request(
      "GET", "/.well-known/agent-card.json", token: TestSystem.claims(.llmAccess, for: "agent"))
    #expect(door.refusal(of: llm) == .insufficientScope)
    // The extended card is the agent's own answer.
    let extended = TestSystem.request(
      "GET", "/a2a/extendedAgentCard", token: TestSystem.claims(.discoverTools, for: "agent"))
    #expect(door.refusal(of: extended) == .insufficientScope)
  }

  @Test("is read for its context, and refused when it is compressed or none of A2A's")
  func reading() throws {
    let door = try Door.agent()
    let claims = TestSystem.claims(for: "agent")
    let call = try door.read(TestSystem.request("/a2a", body: TestSystem.message("a", context: "c-1"), token: claims))
    #expect(call.contextID == "c-1")
    #expect(call.mcpSession == nil)
    let compressed = TestSystem.request(
      "/a2a", body: TestSystem.message("a"), token: claims, headers: [("content-encoding", "br")])
    #expect(door.refusal(of: compressed) == .protocolNotAllowed)
    #expect(
      door.refusal(of: TestSystem.request("/a2a", body: TestSystem.toolCall(), token: claims)) == .methodNotAllowed)
    #expect(door.refusal(of: TestSystem.request("/a2", body: TestSystem.message("a"))) == .protocolNotAllowed)
  }

  @Test("never enters a client")
  func client() throws {
    let door = Door(
      identity: try TestSystem.identity("client", "client"), point: EnforcementPoint(.ingress, path: "/a2a"))
    let request = TestSystem.request("/a2a", body: TestSystem.message("a"), token: TestSystem.claims(for: "client"))
    #expect(door.refusal(of: request) == .destinationNotAllowed)
  }
}

extension String {
  fileprivate func replacingScheme(_ scheme: String) -> String { scheme + dropFirst("Bearer".count) }
}
