import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

/// A workload's way out.
private struct WayOut {
  let identity: WorkloadIdentity
  let point: EnforcementPoint

  static func to(
    _ app: String, from caller: (name: String, kind: String) = ("agent", "agent"), methods: [String] = [],
    promptPath: String? = nil
  ) throws -> WayOut {
    WayOut(
      identity: try TestSystem.identity(caller.name, caller.kind, methods: methods),
      point: EnforcementPoint(
        .app(try #require(Name(app))), path: app == "mcp" ? "/mcp" : "/a2a",
        promptJSONPath: promptPath.flatMap { JSONPath($0) }))
  }
  static func toLLM(path: String = "/v1", from caller: (name: String, kind: String) = ("agent", "agent")) throws
    -> WayOut
  {
    WayOut(
      identity: try TestSystem.identity(caller.name, caller.kind), point: EnforcementPoint(.llm, path: path))
  }

  func read(_ request: InterceptedRequest, _ record: inout RequestRecord) throws(Refusal) -> EgressCall {
    try EgressCall(request, at: point, identity: identity, record: &record)
  }
  func read(_ request: InterceptedRequest) throws(Refusal) -> EgressCall {
    var record = RequestRecord(direction: .egress)
    return try read(request, &record)
  }
  func refusal(of request: InterceptedRequest) -> RefusalReason? {
    EnforcementTests.refusal { () throws(Refusal) in _ = try read(request) }
  }
}

private func held(_ compact: String = "held", words: String? = nil) -> HeldToken {
  HeldToken(
    compact: compact, hash: tokenHash(compact), expiresAt: TestClock.start + .seconds(60),
    userInputID: UserInputID("ui_1"), parent: nil, promptDigest: words.map(textDigest))
}

@Suite("A call that wants to leave a workload")
struct EgressCallTests {
  private let listing = TestSystem.rpc("tools/list")

  @Test("goes to an app of the MAS that takes calls")
  func destinations() throws {
    let request = TestSystem.request("/a2a", body: TestSystem.message("a"))
    #expect(try WayOut.to("agent").refusal(of: request) == nil)
    #expect(try WayOut.to("nobody").refusal(of: request) == .destinationNotAllowed)
    #expect(try WayOut.to("client").refusal(of: request) == .destinationNotAllowed)
    #expect(try WayOut.to("agent", from: ("mcp", "mcp_server")).refusal(of: request) == .destinationNotAllowed)
    #expect(
      try WayOut.toLLM(from: ("mcp", "mcp_server"))
        .refusal(of: TestSystem.request("/v1/chat/completions", body: TestSystem.chat())) == .destinationNotAllowed)
    let inwards = WayOut(
      identity: try TestSystem.identity("agent", "agent"), point: EnforcementPoint(.ingress, path: "/a2a"))
    #expect(inwards.refusal(of: request) == .destinationNotAllowed)
  }

  @Test("may bring one `authorization` of its own, and no header of CASA's")
  func headers() throws {
    let way = try WayOut.to("mcp")
    let own = ("authorization", "Bearer x")
    #expect(way.refusal(of: TestSystem.request("/mcp", body: listing, headers: [own])) == nil)
    #expect(way.refusal(of: TestSystem.request("/mcp", body: listing, headers: [own, own])) == .duplicateHeader)
    #expect(
      way.refusal(of: TestSystem.request("/mcp", body: listing, headers: [("x-casa-token", "1")])) == .reservedHeader)
  }

  @Test("names its session in `traceparent` or `_meta`, which must agree")
  func traces() throws {
    let way = try WayOut.to("mcp")
    func read(header: String?, meta: String?, _ record: inout RequestRecord) throws(Refusal) -> EgressCall {
      let params: JSONValue = meta.map { ["_meta": ["traceparent": .string(TestSystem.traceParent($0))]] } ?? [:]
      return try way.read(
        TestSystem.request("/mcp", body: TestSystem.rpc("tools/list", params), trace: header), &record)
    }
    let (one, other) = (TestSystem.trace, TestSystem.otherTrace)
    for (header, meta, correlation) in [
      (one, nil, RequestRecord.Correlation.traceparent), (nil, one, .meta), (one, one, .traceparent),
      (String?.none, String?.none, RequestRecord.Correlation?.none),
    ] {
      var record = RequestRecord(direction: .egress)
      let call = try read(header: header, meta: meta, &record)
      #expect(call.namedTrace?.text == header ?? meta)
      #expect(record.traceID == call.namedTrace)
      #expect(record.correlation == correlation)
    }
    let disagreeing = TestSystem.request(
      "/mcp", body: TestSystem.rpc("tools/list", ["_meta": ["traceparent": .string(TestSystem.traceParent(other))]]),
      trace: one)
    #expect(way.refusal(of: disagreeing) == .traceContextMismatch)
  }

  @Test("to an MCP server is read for what it does there")
  func content() throws {
    let way = try WayOut.to("mcp", methods: ["resources/read"])
    let tool = try way.read(TestSystem.request("/mcp", body: TestSystem.toolCall()))
    guard case .toolCall(let call) = tool.content else {
      Issue.record("expected a tool call")
      return
    }
    #expect(call.server.text == "mcp")
    #expect(call.tool.text == "weather")
    #expect(JSONValue.object(call.arguments) == TestSystem.arguments)
    // A token for a tool call is never held.
    #expect(tool.purpose == nil)
    #expect(!tool.isDiscovery)

    for (request, isDiscovery) in [
      (TestSystem.request("/mcp", body: listing), true), (TestSystem.request("GET", "/mcp"), true),
      (TestSystem.request("/mcp", body: TestSystem.rpc("ping")), true),
      (TestSystem.request("/mcp", body: TestSystem.rpc("resources/read", ["uri": "a:b"])), false),
    ] {
      let call = try way.read(request)
      #expect(call.purpose == .call(AppID("app_mcp")))
      #expect(call.isDiscovery == isDiscovery)
    }
  }

  @Test("uses a method beside the tools only where the server's registration names it")
  func restricted() throws {
    let read = TestSystem.request("/mcp", body: TestSystem.rpc("resources/read", ["uri": "a:b"]))
    #expect(try WayOut.to("mcp").refusal(of: read) == .methodNotAllowed)
    #expect(try WayOut.to("mcp", methods: ["prompts/get"]).refusal(of: read) == .methodNotAllowed)
    #expect(try WayOut.to("mcp", methods: ["resources/read"]).refusal(of: read) == nil)
    let sampling = TestSystem.request("/mcp", body: TestSystem.rpc("sampling/createMessage"))
    #expect(try WayOut.to("mcp", methods: ["sampling/createMessage"]).refusal(of: sampling) == .methodNotAllowed)
  }

  @Test("to an agent carries words, or asks for its card")
  func agents() throws {
    let way = try WayOut.to("agent")
    let message = try way.read(TestSystem.request("/a2a", body: TestSystem.message("a", context: "c")))
    guard case .agent("a"?, "c"?) = message.content else {
      Issue.record("expected a message")
      return
    }
    #expect(message.purpose == .call(AppID("app_agent")))
    #expect(message.callee == AppID("app_agent"))
    #expect(!message.isDiscovery)
    let card = try way.read(TestSystem.request("GET", "/.well-known/agent-card.json"))
    guard case .card = card.content else {
      Issue.record("expected a card")
      return
    }
    #expect(card.isDiscovery)
    #expect(card.purpose == .call(AppID("app_agent")))
    let own = try WayOut.to("agent", promptPath: "$.q")
    guard case .agent("b"?, nil) = try own.read(TestSystem.request("/a2a", body: #"{"q":"b"}"#)).content else {
      Issue.record("expected words")
      return
    }
    do throws(Refusal) {
      _ = try own.read(TestSystem.request("/a2a", body: #"{"p":"b"}"#))
      Issue.record("expected a refusal")
    } catch {
      #expect(error.explanation == "the body must have a text at $.q, where the user's input is expected")
    }
  }

  @Test("to the LLM asks for a chat completion, and for nothing else")
  func llm() throws {
    let way = try WayOut.toLLM()
    var record = RequestRecord(direction: .egress)
    let call = try way.read(TestSystem.request("/v1/chat/completions", body: TestSystem.chat("hi")), &record)
    guard case .llm(["hi"]) = call.content else {
      Issue.record("expected a conversation")
      return
    }
    #expect(record.destination == RequestRecord.llm)
    #expect(call.purpose == .llm)
    #expect(call.callee == nil)
    #expect(!call.isDiscovery)
    #expect(
      try WayOut.toLLM(path: "/v1/").refusal(of: TestSystem.request("/v1/chat/completions", body: TestSystem.chat()))
        == nil)
    for request in [
      TestSystem.request("PUT", "/v1/chat/completions", body: TestSystem.chat()),
      TestSystem.request("/v1/embeddings", body: TestSystem.chat()),
      TestSystem.request("/v1/chat/completions/", body: TestSystem.chat()),
      TestSystem.request("/v1/chat/completions", query: "a", body: TestSystem.chat()),
      TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), headers: [("content-type", "text/plain")]),
      TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), headers: [("content-encoding", "gzip")]),
    ] {
      #expect(way.refusal(of: request) == .protocolNotAllowed)
    }
  }

  @Test("reads headers quickly that are costly to compare", .timeLimit(.minutes(1)))
  func costlyHeaders() throws {
    let way = try WayOut.toLLM()
    let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
    func refusal(_ name: String, _ value: String) -> RefusalReason? {
      way.refusal(of: TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), headers: [(name, value)]))
    }
    #expect(refusal("x-any", "." + marks) == nil)
    #expect(refusal("content-encoding", marks) == .protocolNotAllowed)
  }

  @Test("takes no token of CASA to the LLM's host, wherever in the headers it stands")
  func leaks() throws {
    let way = try WayOut.toLLM()
    func refusal(_ name: String, _ value: String) -> RefusalReason? {
      way.refusal(of: TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), headers: [(name, value)]))
    }
    let token = TestSystem.token(TestSystem.claims(for: "agent"))
    for value in [token, "Bearer \(token)", "a=\(token); b", "x,\(token)", "\"\(token)\""] {
      #expect(refusal("x-any", value) == .tokenSentToLLMHost)
      #expect(refusal("authorization", value) == .tokenSentToLLMHost)
    }
    // A key of the LLM's own may be a JWT too.
    let other = [#"{"alg":"ES256","typ":"JWT"}"#, "{}", "s"].map { Base64URL.encode($0.utf8) }.joined(separator: ".")
    #expect(refusal("authorization", "Bearer " + other) == nil)
    #expect(refusal("authorization", "Bearer sk-1.2") == nil)
  }

  @Test("of a client belongs to a session only with the words that the session began with")
  func beginning() throws {
    let way = try WayOut.to("agent", from: ("client", "client"))
    func refusal(_ text: String?, _ words: String?) throws -> RefusalReason? {
      let call = try way.read(TestSystem.request("/a2a", body: TestSystem.message(text)))
      return EnforcementTests.refusal { () throws(Refusal) in try call.check(beginningOf: held(words: words)) }
    }
    #expect(try refusal("a", "a") == nil)
    #expect(try refusal("b", "a") == .userInputMismatch)
    #expect(try refusal("a ", "a") == .userInputMismatch)
    #expect(try refusal("b", nil) == nil)
    // Files and data are no words, beside words neither.
    for parts in [[["data": 1]], [["text": "a"], ["data": 1]], [["text": "a"], ["url": "https://files.example/a"]]]
      as [JSONValue]
    {
      let message: JSONValue = ["role": "user", "messageId": "m", "parts": parts]
      let request = TestSystem.request("/a2a", body: TestSystem.rpc("SendMessage", ["message": message]))
      #expect(way.refusal(of: request) == .userInputMismatch)
      #expect(try WayOut.to("agent").refusal(of: request) == nil)
    }
  }
}

@Suite("A call that leaves a workload")
struct EgressAdmissionTests {
  private let trace = TraceID(TestSystem.trace)

  private func admission(
    _ way: WayOut, _ request: InterceptedRequest, apiKey: String? = nil, trace: TraceID?
  ) throws -> (Admission, RequestRecord) {
    var record = RequestRecord(direction: .egress)
    let call = try way.read(request, &record)
    return (call.admission(with: held(), trace: trace, apiKey: apiKey, record: &record), record)
  }

  @Test("carries the held token in place of its own, and its session's trace")
  func token() throws {
    let call = TestSystem.toolCall()
    let (bare, record) = try admission(try .to("mcp"), TestSystem.request("/mcp", body: call), trace: trace)
    #expect(bare.setHeaders.first.map { $0 == ("authorization", "Bearer held") } ?? false)
    #expect(bare.setHeaders.map(\.name) == ["authorization", "traceparent"])
    #expect(bare.setHeaders.last.flatMap { TraceParent($0.value)?.traceID } == trace)
    #expect(bare.removeHeaders.isEmpty)
    #expect(bare.answerToken == nil)
    #expect(bare.offer == nil)
    #expect(bare.tokenHash == tokenHash("held"))
    #expect(bare.userInputID == UserInputID("ui_1"))
    #expect(record.traceID == trace)
    #expect(record.userInputID == UserInputID("ui_1"))
    let (traced, _) = try admission(
      try .to("mcp"), TestSystem.request("/mcp", body: call, trace: TestSystem.trace), apiKey: "k", trace: trace)
    #expect(traced.setHeaders.map(\.name) == ["authorization"])
    let (alone, _) = try admission(try .to("mcp"), TestSystem.request("/mcp", body: call), trace: nil)
    #expect(alone.setHeaders.map(\.name) == ["authorization"])
  }

  @Test("leaves its token and its trace in the proxy when it goes to the LLM, and takes the key along")
  func llm() throws {
    let request = TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), trace: TestSystem.trace)
    let (bare, _) = try admission(try .toLLM(), request, trace: trace)
    #expect(bare.answerToken == "held")
    // Of what is set, the mark ends within the proxy.
    #expect(bare.setHeaders.map(\.name) == [Admission.readAnswerHeader])
    #expect(bare.removeHeaders == ["accept-encoding", "traceparent", "tracestate", "baggage"])
    let (keyed, _) = try admission(try .toLLM(), request, apiKey: "sk", trace: trace)
    #expect(keyed.setHeaders.map(\.name) == [Admission.readAnswerHeader, "authorization"])
    #expect(keyed.setHeaders.last?.value == "Bearer sk")
    #expect(keyed.answerToken == "held")
  }

  @Test("has its answer read when an MCP server may say something, and when it is a card")
  func offers() throws {
    let (mcp, agent) = (try #require(Name("mcp")), try #require(Name("agent")))
    let id = JSONRPCID.integer(7)
    func post(_ method: String, id: Int? = 7) -> InterceptedRequest {
      TestSystem.request("/mcp", body: TestSystem.rpc(method, id: id), trace: TestSystem.trace)
    }
    func get(_ fields: [(String, String)] = []) -> InterceptedRequest {
      TestSystem.request("GET", "/mcp", trace: TestSystem.trace, headers: fields)
    }
    for (request, offer) in [
      (post("tools/list"), Offer(.tools(id), of: mcp, trace: trace)),
      (post("ping"), Offer(.message(id), of: mcp, trace: trace)),
      (post("server/discover"), Offer(.message(id), of: mcp, trace: trace)),
      (post("notifications/initialized", id: nil), Offer(.message(nil), of: mcp, trace: trace)),
      (get(), Offer(.message(nil), of: mcp, trace: trace)),
      (get([("last-event-id", "1")]), Offer(.tools(nil), of: mcp, trace: trace)),
      (
        TestSystem.request("GET", "/.well-known/agent-card.json", trace: TestSystem.trace),
        Offer(.card, of: agent, trace: trace)
      ),
    ] {
      let (admission, _) = try admission(try .to(offer.app.text), request, trace: trace)
      #expect(admission.offer == offer)
      #expect(admission.setHeaders.last.map { $0 == (Admission.readAnswerHeader, "1") } ?? false)
      #expect(admission.removeHeaders == ["accept-encoding"])
    }
    let end = TestSystem.request("DELETE", "/mcp", trace: TestSystem.trace)
    #expect(try admission(try .to("mcp"), end, trace: trace).0.offer == nil)
  }

  @Test("has its answer read when that is a tool's and the runtime wants to know it")
  func results() throws {
    for wanted in [true, false] {
      var record = RequestRecord(direction: .egress)
      let request = TestSystem.request("/mcp", body: TestSystem.toolCall(), trace: TestSystem.trace)
      let call = try WayOut.to("mcp").read(request, &record)
      let admission = call.admission(
        with: held(), trace: trace, apiKey: nil, reportsResult: wanted, record: &record)
      guard wanted else {
        #expect(admission.offer == nil && admission.answerToken == nil && admission.removeHeaders.isEmpty)
        continue
      }
      let id = try #require(record.requestID)
      #expect(admission.offer == Offer(.result(id), of: try #require(Name("mcp")), trace: trace))
      #expect(admission.answerToken == "held")
      #expect(admission.setHeaders.last.map { $0 == (Admission.readAnswerHeader, "1") } ?? false)
      #expect(admission.removeHeaders == ["accept-encoding"])
    }
  }

  @Test("hands its offer on in one text, which nothing else is")
  func offerText() throws {
    for offer in [
      Offer(.tools(nil), of: try #require(Name("mcp")), trace: trace),
      Offer(.tools(.string("x")), of: try #require(Name("mcp")), trace: nil),
      Offer(.message(nil), of: try #require(Name("a")), trace: trace),
      Offer(.message(.integer(4)), of: try #require(Name("a")), trace: trace),
      Offer(.card, of: try #require(Name("a")), trace: nil),
      Offer(.result(.integer(-3)), of: try #require(Name("a")), trace: nil),
      Offer(.result(.string("a b\r\n é")), of: try #require(Name("a")), trace: trace),
    ] {
      #expect(Offer(offer.text) == offer)
    }
    for text in [
      "", "tools mcp", "tool mcp -", "tools MCP -", "tools mcp x", "tools mcp - -", "tools  mcp -",
      "result mcp -", "result mcp - ", "result mcp - x", "result mcp - MQ==", "result mcp - bnVsbA",
      "result mcp - MQ MQ",
      "card mcp - MQ",
    ] {
      #expect(Offer(text) == nil)
    }
  }
}
