import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

extension LocalDecisions.Verdict {
  fileprivate var name: String {
    switch self {
    case .ask: "ask"
    case .admit: "admit"
    case .refuse(let refusal): refusal.reason.rawValue
    }
  }
}

@Suite("Decisions within the proxy")
struct LocalDecisionsTests {
  private let clock = TestClock()
  private let trace = TraceID(TestSystem.trace)
  private let caller = TestSystem.claims(for: "mcp")

  private func ingress() -> LocalDecisions {
    LocalDecisions(at: EnforcementPoint(.ingress, path: "/mcp"), clock: clock.wallClock)
  }
  private func egress(_ app: String = "mcp") throws -> LocalDecisions {
    LocalDecisions(
      at: EnforcementPoint(.app(try #require(Name(app))), path: app == "mcp" ? "/mcp" : "/a2a"), clock: clock.wallClock)
  }

  private func arriving(
    _ body: String = TestSystem.rpc("tools/list"), token: TokenClaims? = nil, _ headers: [(String, String)] = []
  ) -> InterceptedRequest {
    TestSystem.request("/mcp", body: body, token: token ?? caller, headers: headers)
  }
  private func leaving(_ body: String = TestSystem.rpc("tools/list"), trace: String? = TestSystem.trace)
    -> InterceptedRequest
  {
    TestSystem.request("/mcp", body: body, trace: trace)
  }

  private func identity(_ name: String, _ kind: String) throws -> DecisionFacts {
    var facts = DecisionFacts()
    facts.identity = try TestSystem.identity(name, kind)
    return facts
  }
  private func active(_ claims: TokenClaims, for lifetime: Duration = .seconds(30)) throws -> DecisionFacts {
    var facts = try identity("mcp", "mcp_server")
    facts.activeToken = DecisionFacts.ActiveToken(
      hash: tokenHash(TestSystem.token(claims)), session: claims.userInputID, lifetime: lifetime)
    return facts
  }
  private func held(
    _ purpose: TokenPurpose = .call(AppID("app_mcp")), words: String? = nil,
    from: (String, String) = ("agent", "agent"),
    for lifetime: Duration = .seconds(30), apiKey: String? = nil
  ) throws -> DecisionFacts {
    var facts = try identity(from.0, from.1)
    facts.sessionToken = DecisionFacts.SessionToken(
      trace: try #require(trace), purpose: purpose,
      token: HeldToken(
        compact: "held", hash: tokenHash("held"), expiresAt: TestClock.start + lifetime,
        userInputID: UserInputID("ui_1"),
        parent: nil, promptDigest: words.map(textDigest)),
      apiKey: apiKey, lifetime: lifetime)
    return facts
  }
  private func owner(_ id: String, _ app: String) throws -> DecisionFacts {
    var facts = try active(caller)
    facts.sessionOwner = DecisionFacts.SessionOwner(session: MCPSessionID(id), app: AppID(app))
    return facts
  }

  private func verdict(_ decisions: LocalDecisions, _ request: InterceptedRequest) -> String {
    decisions.decide(request).verdict.name
  }
  /// A count and a record for each line of records taken.
  private func records(_ text: String?) throws -> [(count: String, record: JSONValue)] {
    try (text ?? "").split(separator: "\n").map { line in
      let parts = line.split(separator: " ", maxSplits: 1)
      return (String(parts[0]), try JSONValue(parsing: String(parts[1])))
    }
  }

  // MARK: What is known

  @Test("are asked for as long as nothing is known")
  func nothing() throws {
    #expect(verdict(ingress(), arriving()) == "ask")
    #expect(verdict(ingress(), TestSystem.request("/evil")) == "ask")
    #expect(verdict(try egress(), leaving()) == "ask")
    #expect(ingress().takeRecords() == nil)
  }

  @Test("refuse what no token could make pass, and ask about the rest, when only the identity is known")
  func identityOnly() throws {
    let incoming = ingress()
    incoming.learn(try identity("mcp", "mcp_server"), epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
    #expect(verdict(incoming, TestSystem.request("/evil")) == "protocol_not_allowed")
    #expect(verdict(incoming, arriving(token: TestSystem.claims(for: "agent"))) == "token_not_for_this_app")
    let outgoing = try egress()
    outgoing.learn(try identity("agent", "agent"), epoch: 1, asked: clock.now)
    #expect(verdict(outgoing, leaving()) == "ask")
    #expect(verdict(outgoing, leaving(TestSystem.rpc("resources/read"))) == "method_not_allowed")
  }

  @Test("know an identity for a minute")
  func identityLife() throws {
    let incoming = ingress()
    incoming.learn(try identity("mcp", "mcp_server"), epoch: 1, asked: clock.now)
    clock.advance(by: .milliseconds(59_999))
    #expect(verdict(incoming, TestSystem.request("/evil")) == "protocol_not_allowed")
    clock.advance(by: .milliseconds(1))
    #expect(verdict(incoming, TestSystem.request("/evil")) == "ask")
  }

  @Test("admit what arrives with a token that is known to be active")
  func admitArriving() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    guard case .admit(let admission) = incoming.decide(arriving()).verdict else {
      Issue.record("expected an admission")
      return
    }
    #expect(admission.removeHeaders == ["authorization"])
    #expect(admission.setHeaders.map(\.name) == ["traceparent"])
    #expect(verdict(incoming, arriving(token: TestSystem.claims(for: "mcp") { $0.id = TokenID("t2") })) == "ask")
  }

  private func key(_ body: String, of request: InterceptedRequest) -> RequestKey? {
    RequestKey(
      fields: request.headers.map { RawField(name: Array($0.name.utf8)[...], value: Array($0.value.utf8)[...]) },
      body: Array(body.utf8))
  }

  @Test("admit again what differs in its own id only, and nothing whose admission names the id")
  func again() throws {
    func body(_ id: Int) -> String { #"{"jsonrpc":"2.0","id":\#(id),"method":"tools/list"}"# }
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    let arrived = arriving(body(1))
    _ = incoming.decide(arrived, key: key(body(1), of: arrived))
    #expect(incoming.admitAgain(try #require(key(body(22), of: arrived))) != nil)
    let another = body(22).replacing("tools", with: "resources")
    #expect(incoming.admitAgain(try #require(key(another, of: arrived))) == nil)

    // What is read of the answer on its way back is the answer to this id.
    let outgoing = try egress()
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    let leaves = leaving(body(1))
    #expect(verdict(outgoing, leaves) == "admit")
    _ = outgoing.decide(leaves, key: key(body(1), of: leaves))
    #expect(outgoing.admitAgain(try #require(key(body(1), of: leaves))) == nil)
    #expect(outgoing.admitAgain(try #require(key(body(22), of: leaves))) == nil)
  }

  @Test("admit what leaves in a session whose token is held")
  func admitLeaving() throws {
    let outgoing = try egress()
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    guard case .admit(let admission) = outgoing.decide(leaving()).verdict else {
      Issue.record("expected an admission")
      return
    }
    #expect(admission.setHeaders.first.map { $0 == ("authorization", "Bearer held") } ?? false)
    #expect(admission.offer == Offer(.tools(.integer(1)), of: try #require(Name("mcp")), trace: trace))
    #expect(verdict(outgoing, leaving(trace: TestSystem.otherTrace)) == "ask")
    #expect(verdict(outgoing, leaving(trace: nil)) == "ask")
    // Held for another purpose, it is not used for this one.
    let other = try egress()
    other.learn(try held(.llm), epoch: 1, asked: clock.now)
    other.learn(try held(.call(AppID("app_agent"))), epoch: 1, asked: clock.now)
    #expect(verdict(other, leaving()) == "ask")
  }

  @Test("take the LLM's key along and keep the token")
  func llm() throws {
    let way = LocalDecisions(at: EnforcementPoint(.llm, path: "/v1"), clock: clock.wallClock)
    way.learn(try held(.llm, apiKey: "sk"), epoch: 1, asked: clock.now)
    let request = TestSystem.request("/v1/chat/completions", body: TestSystem.chat(), trace: TestSystem.trace)
    guard case .admit(let admission) = way.decide(request).verdict else {
      Issue.record("expected an admission")
      return
    }
    #expect(admission.answerToken == "held")
    #expect(admission.setHeaders.map(\.name) == [Admission.readAnswerHeader, "authorization"])
    #expect(admission.setHeaders.map(\.value) == ["1", "Bearer sk"])
  }

  @Test("never admit a tool call, in either direction")
  func toolCalls() throws {
    let claims = try TestSystem.toolClaims()
    let incoming = ingress()
    incoming.learn(try active(claims), epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving(TestSystem.toolCall(), token: claims)) == "ask")
    #expect(verdict(incoming, arriving(TestSystem.toolCall("forecast"), token: claims)) == "token_not_for_this_call")
    let outgoing = try egress()
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    #expect(verdict(outgoing, leaving(TestSystem.toolCall())) == "ask")
  }

  @Test("never admit what tells an agent something, which the authorization service must know too")
  func words() throws {
    let claims = TestSystem.claims(for: "agent")
    let door = LocalDecisions(at: EnforcementPoint(.ingress, path: "/a2a"), clock: clock.wallClock)
    var facts = try active(claims)
    facts.identity = try TestSystem.identity("agent", "agent")
    door.learn(facts, epoch: 1, asked: clock.now)
    #expect(verdict(door, TestSystem.request("/a2a", body: TestSystem.message("a"), token: claims)) == "ask")
    let task = TestSystem.request("/a2a", body: TestSystem.rpc("GetTask", ["id": "t"]), token: claims)
    #expect(verdict(door, task) == "admit")
  }

  @Test("refuse a client's later message with other words")
  func otherWords() throws {
    let way = try egress("agent")
    way.learn(
      try held(.call(AppID("app_agent")), words: "pay 1", from: ("client", "client")), epoch: 1, asked: clock.now)
    func request(_ text: String) -> InterceptedRequest {
      TestSystem.request("/a2a", body: TestSystem.message(text), trace: TestSystem.trace)
    }
    #expect(verdict(way, request("pay 1")) == "admit")
    #expect(verdict(way, request("pay 2")) == "user_input_mismatch")
  }

  @Test("admit no token beyond its own end or beyond what was said of it")
  func tokenLife() throws {
    let short = TestSystem.claims(for: "mcp") { $0.expiresAt = TestClock.start + .seconds(1) }
    let incoming = ingress()
    incoming.learn(try active(short), epoch: 1, asked: clock.now)
    clock.advance(by: .milliseconds(999))
    #expect(verdict(incoming, arriving(token: short)) == "admit")
    incoming.learn(nil, epoch: 1, asked: clock.now)
    clock.advance(by: .milliseconds(1))
    #expect(verdict(incoming, arriving(token: short)) == "ask")

    let other = ingress()
    other.learn(try active(caller, for: .milliseconds(200)), epoch: 1, asked: clock.now)
    let outgoing = try egress()
    outgoing.learn(try held(for: .milliseconds(200)), epoch: 1, asked: clock.now)
    clock.advance(by: .milliseconds(199))
    #expect(verdict(other, arriving()) == "admit")
    #expect(verdict(outgoing, leaving()) == "admit")
    clock.advance(by: .milliseconds(1))
    #expect(verdict(other, arriving()) == "ask")
    #expect(verdict(outgoing, leaving()) == "ask")
  }

  @Test("count lifetimes from when the question left")
  func slowAnswers() throws {
    let asked = clock.now
    clock.advance(by: .milliseconds(300))
    let incoming = ingress()
    incoming.learn(try active(caller, for: .milliseconds(300)), epoch: 1, asked: asked)
    #expect(verdict(incoming, arriving()) == "ask")
    let outgoing = try egress()
    outgoing.learn(try held(for: .milliseconds(300)), epoch: 1, asked: asked)
    #expect(verdict(outgoing, leaving()) == "ask")
    clock.advance(by: .milliseconds(700))
    let late = ingress()
    late.learn(try active(caller), epoch: 1, asked: asked)
    #expect(verdict(late, arriving()) == "ask")
  }

  // MARK: Contact and epochs

  @Test("hold for a second after the authorization service's last answer of any kind")
  func contact() throws {
    let (incoming, outgoing) = (ingress(), try egress())
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    for _ in 0..<3 {
      clock.advance(by: .milliseconds(999))
      #expect(verdict(incoming, arriving()) == "admit")
      #expect(verdict(outgoing, leaving()) == "admit")
      incoming.learn(nil, epoch: 1, asked: clock.now)
      outgoing.learn(nil, epoch: 1, asked: clock.now)
    }
    clock.advance(by: .milliseconds(1000))
    #expect(verdict(incoming, arriving()) == "ask")
    #expect(verdict(outgoing, leaving()) == "ask")
    // Refusals need no contact: no token could make this pass.
    #expect(verdict(incoming, TestSystem.request("/evil")) == "protocol_not_allowed")
    incoming.learn(nil, epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "admit")
  }

  @Test("do not hold shorter because a slow answer came after a quick one")
  func overtakenContact() throws {
    let incoming = ingress()
    let first = clock.now
    clock.advance(by: .milliseconds(500))
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    incoming.learn(nil, epoch: 1, asked: first)
    clock.advance(by: .milliseconds(999))
    #expect(verdict(incoming, arriving()) == "admit")
  }

  @Test("are void with a new epoch, until they are learned anew")
  func epochs() throws {
    let (incoming, outgoing) = (ingress(), try egress())
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    incoming.learn(nil, epoch: 2, asked: clock.now)
    outgoing.learn(nil, epoch: 2, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
    #expect(verdict(outgoing, leaving()) == "ask")
    // The identity too: whom the workload may call may have changed.
    #expect(verdict(incoming, TestSystem.request("/evil")) == "ask")
    // With the identity alone, no token of before counts.
    incoming.learn(try identity("mcp", "mcp_server"), epoch: 2, asked: clock.now)
    outgoing.learn(try identity("agent", "agent"), epoch: 2, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
    #expect(verdict(outgoing, leaving()) == "ask")
    incoming.learn(try active(caller), epoch: 2, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "admit")
  }

  @Test("learn nothing from an answer that a newer epoch has overtaken, not even that there is contact")
  func overtaken() throws {
    let incoming = ingress()
    incoming.learn(try identity("mcp", "mcp_server"), epoch: 2, asked: clock.now)
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
    incoming.learn(try active(caller), epoch: 2, asked: clock.now)
    clock.advance(by: .seconds(1))
    incoming.learn(nil, epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
    incoming.learn(nil, epoch: 2, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "admit")
    // A service that was set up anew may count from anywhere.
    incoming.learn(try active(caller), epoch: 2 + 1 << 40, asked: clock.now)
    incoming.learn(nil, epoch: 5, asked: clock.now)
    #expect(verdict(incoming, arriving()) == "ask")
  }

  // MARK: Sessions at MCP servers

  @Test("let a session id to the app that used it first, and ask about one that nobody used")
  func owners() throws {
    let incoming = ingress()
    incoming.learn(try owner("s-1", "app_caller"), epoch: 1, asked: clock.now)
    incoming.learn(try owner("s-2", "app_other"), epoch: 1, asked: clock.now)
    #expect(verdict(incoming, arriving([("mcp-session-id", "s-1")])) == "admit")
    #expect(verdict(incoming, arriving([("mcp-session-id", "s-2")])) == "session_unknown")
    #expect(verdict(incoming, arriving([("mcp-session-id", "s-3")])) == "ask")
    let resuming = TestSystem.request("GET", "/mcp", token: caller, headers: [("last-event-id", "1")])
    #expect(verdict(incoming, resuming) == "session_unknown")
  }

  private func arriving(_ headers: [(String, String)]) -> InterceptedRequest {
    arriving(TestSystem.rpc("tools/list"), headers)
  }

  // MARK: Records

  @Test("are recorded once each, with how often they were made")
  func recording() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    for _ in 0..<3 { _ = incoming.decide(arriving()) }
    _ = incoming.decide(arriving(TestSystem.rpc("ping")))
    _ = incoming.decide(TestSystem.request("/evil"))
    let records = try records(incoming.takeRecords())
    #expect(records.count == 3)
    let listing = try #require(records.first { $0.record["method"] == "tools/list" })
    #expect(listing.count == "3")
    #expect(listing.record["kind"] == "call_admitted")
    #expect(listing.record["direction"] == "ingress")
    #expect(listing.record["destination"] == "mcp")
    #expect(listing.record["trace_id"] == .string(TestSystem.trace))
    #expect(listing.record["user_input_id"] == "ui_1")
    #expect(listing.record["token_sha256"] == .string(tokenHash(TestSystem.token(caller)).text))
    #expect(records.first { $0.record["method"] == "ping" }?.count == "1")
    let refused = try #require(records.first { $0.record["kind"] == "call_refused" })
    #expect(refused.count == "1")
    #expect(refused.record["reason"] == "protocol_not_allowed")
    #expect(refused.record["destination"] == "mcp")
  }

  @Test("say of what leaves how its session was found")
  func recordingLeaving() throws {
    let outgoing = try egress()
    outgoing.learn(try held(), epoch: 1, asked: clock.now)
    _ = outgoing.decide(leaving())
    let record = try #require(try records(outgoing.takeRecords()).first).record
    #expect(record["direction"] == "egress")
    #expect(record["correlated_by"] == "traceparent")
    #expect(record["token_sha256"] == .string(tokenHash("held").text))
    #expect(record["trace_id"] == .string(TestSystem.trace))
  }

  @Test("are not recorded when they were asked")
  func notRecorded() throws {
    let incoming = ingress()
    incoming.learn(try identity("mcp", "mcp_server"), epoch: 1, asked: clock.now)
    _ = incoming.decide(arriving())
    #expect(incoming.takeRecords() == nil)
  }

  @Test("are given again until they were delivered, and then no more")
  func delivery() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    _ = incoming.decide(arriving())
    let first = try #require(incoming.takeRecords())
    _ = incoming.decide(arriving(TestSystem.rpc("ping")))
    #expect(incoming.takeRecords() == first)
    incoming.recordsWereDelivered()
    let second = try records(incoming.takeRecords())
    #expect(second.map(\.record["method"]) == ["ping"])
    incoming.recordsWereDelivered()
    #expect(incoming.takeRecords() == nil)
  }

  @Test("are given a bounded number at a time, and all in the end")
  func portions() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    for _ in 0..<3 { _ = incoming.decide(TestSystem.request("/evil")) }
    for method in ["ping", "tools/list", "server/discover"] { _ = incoming.decide(arriving(TestSystem.rpc(method))) }
    var counts: [Int] = []
    for _ in 0..<4 {
      counts.append(try records(incoming.takeRecords(limit: 2)).count)
      incoming.recordsWereDelivered()
    }
    #expect(counts == [2, 2, 2, 0])
  }

  @Test("say after a delivery whether another is full")
  func fullPortions() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    for _ in 0..<4 { _ = incoming.decide(TestSystem.request("/evil")) }
    _ = incoming.takeRecords(limit: 2)
    #expect(incoming.recordsWereDelivered(limit: 2))
    _ = incoming.takeRecords(limit: 1)
    #expect(!incoming.recordsWereDelivered(limit: 2))
  }

  @Test("of refusals that there is no room for are counted")
  func lostRefusals() throws {
    let incoming = ingress()
    incoming.learn(try active(caller), epoch: 1, asked: clock.now)
    for _ in 0..<(UndeliveredRecords.capacity + 3) { _ = incoming.decide(TestSystem.request("/evil")) }
    let first = try records(incoming.takeRecords())
    #expect(first.count == 501)
    #expect(first.filter { $0.record == [:] }.map(\.count) == ["3"])
    incoming.recordsWereDelivered()
    #expect(try records(incoming.takeRecords()).allSatisfy { $0.count == "1" && $0.record != [:] })
  }

  @Test("are asked when there is no more room for records, and made again when there is")
  func fullRecords() throws {
    let outgoing = try egress()
    outgoing.learn(try identity("agent", "agent"), epoch: 1, asked: clock.now)
    let token = try #require(try held().sessionToken).token
    func trace(_ index: Int) -> String { "0af7651916cd43dd8448eb211" + String(1_000_000 + index) }
    func request(_ index: Int) -> InterceptedRequest { TestSystem.request("GET", "/mcp", trace: trace(index)) }
    for index in 0...UndeliveredRecords.capacity {
      var facts = DecisionFacts()
      facts.sessionToken = DecisionFacts.SessionToken(
        trace: try #require(TraceID(trace(index))), purpose: .call(AppID("app_mcp")), token: token, apiKey: nil,
        lifetime: .seconds(30))
      outgoing.learn(facts, epoch: 1, asked: clock.now)
      let expected = index < UndeliveredRecords.capacity ? "admit" : "ask"
      try #require(verdict(outgoing, request(index)) == expected)
    }
    _ = outgoing.takeRecords()
    #expect(verdict(outgoing, request(UndeliveredRecords.capacity)) == "admit")
  }
}
