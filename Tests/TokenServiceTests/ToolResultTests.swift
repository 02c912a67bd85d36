import AgentProtocols
import CASACore
import Crypto
import IntentChecks
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("A tool's result")
struct ToolResultTests {
  /// A T3 of a session in which the LLM selected its call.
  private func call(_ system: TestSystem, in session: IssuedToken? = nil) async throws -> IssuedToken {
    let session = if let session { session } else { try await system.session() }
    try await system.select(session)
    return try await system.toolToken(session)
  }

  private func report(
    _ text: String, of token: IssuedToken, _ system: TestSystem, by app: App? = nil, isTruncated: Bool = false,
    unread: [String] = []
  ) async -> OAuthError? {
    await refusal {
      let report = ToolResultReport(text: text, isTruncated: isTruncated, unread: unread)
      try await system.server.record(
        [.toolResult(token: UnverifiedToken(token.compact), report)], by: AuthenticatedClient(app: app ?? system.agent))
    }
  }

  private func results(_ token: IssuedToken, _ system: TestSystem) async throws -> [ToolResult] {
    let session = try #require(token.claims.userInputID)
    // On a database with several runtimes a session is loaded once it is asked about, as the exchange does.
    if system.storage.isShared {
      _ = try await system.server.sessions.resume(session, liveUntil: token.claims.expiresAt)
    }
    return system.server.sessions.results(in: session)
  }

  @Test("is asked for with the token of the call, where a check needs it")
  func asked() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let details = TestSystem.details("get_weather")
    #expect(try await system.respond(session.compact, .callTools, [details]).json["casa_report_result"] == true)
    #expect(try await system.respond(session.compact, .llmAccess).json["casa_report_result"] == nil)
    let settings = MAS.Settings(enabledToolChecks: Set(CheckName.allCases).subtracting([.argumentGrounding]))
    _ = try await system.server.registry.updateMAS(system.mas.id, settings: settings)
    #expect(try await system.respond(session.compact, .callTools, [details]).json["casa_report_result"] == nil)
  }

  @Test("is known in its session, to the whole session and to no other, in order and beyond a restart")
  func kept() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let other = try await call(system, in: try await system.session("Something else"))
    let (first, second) = (try await call(system, in: session), try await call(system, in: session))
    _ = try await system.spend(first)
    #expect(await report("one é", of: first, system) == nil)
    #expect(await report("", of: second, system, isTruncated: true, unread: ["image", "blob"]) == nil)
    for system in [system, try await system.restarted()] {
      let results = try await results(session, system)
      #expect(results.map(\.text) == ["one é", ""])
      #expect(results.map(\.isTruncated) == [false, true])
      #expect(results.map(\.unread) == [[], ["image", "blob"]])
      #expect(
        results.map(\.tool.text) == ["get_weather", "get_weather"]
          && results.map(\.server.text) == ["weather", "weather"])
      #expect(results.map(\.id) == [first, second].map(\.claims.id.rawValue))
      #expect(try await self.results(other, system).isEmpty)
    }
  }

  @Test("is told in the trace without what it says")
  func traced() async throws {
    let system = try await TestSystem()
    let token = try await call(system)
    #expect(await report("the secret", of: token, system, unread: ["audio"]) == nil)
    let event = try #require(try await system.events(.toolResult).first)
    #expect(event["user_input_id"]?.string == token.claims.userInputID?.rawValue)
    #expect(event["app_id"]?.string == system.agent.id.rawValue)
    #expect(
      event["payload"] == [
        "bytes": 10, "sha256": .string(lowercaseHex(SHA256.hash(data: Array("the secret".utf8)))), "server": "weather",
        "tool": "get_weather", "token_sha256": .string(token.hash.text), "truncated": false, "unread": ["audio"],
      ])
    #expect(!event.canonicalText.contains("secret"))
  }

  @Test("is taken once")
  func once() async throws {
    let system = try await TestSystem()
    let token = try await call(system)
    #expect(await report("one", of: token, system) == nil)
    #expect(await report("two", of: token, system)?.reason == .tokenSpent)
    let after = try await system.restarted()
    #expect(await report("three", of: token, after)?.reason == .tokenSpent)
    #expect(try await results(token, after).map(\.text) == ["one"])
    let reasons = await withTaskGroup(of: RefusalReason?.self, returning: [RefusalReason?].self) { group in
      guard let token = try? await call(after) else { return [] }
      for _ in 0..<50 { group.addTask { await report("x", of: token, after)?.reason } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(reasons.count { $0 == nil } == 1 && reasons.count { $0 == .tokenSpent } == 49)
  }

  @Test("is not taken for another's call, or for something that is no call")
  func evidence() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let token = try await call(system, in: session)
    for app in [system.other, system.weather, system.client] {
      #expect(await report("x", of: token, system, by: app)?.reason == .tokenInactive)
    }
    #expect(await report("x", of: session, system)?.reason == .tokenInactive)
    let access = try await system.exchange(session, .llmAccess)
    #expect(await report("x", of: access, system)?.reason == .tokenInactive)
    let foreign = try await TestSystem()
    #expect(await report("x", of: try await call(foreign), system)?.reason == .tokenInactive)
    // Signed by this runtime's key, but never issued.
    var claims = token.claims
    claims.id = .random(prefix: "tok")
    #expect(await report("x", of: try system.server.signer.sign(claims), system)?.reason == .tokenInactive)
    #expect(try await results(session, system).isEmpty)
    #expect(try await system.rows("tool_results") == 0)
  }

  @Test("is not taken when its call's token was revoked, be it since it expired or before a restart")
  func revoked() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let token = try await call(system, in: session)
    try await system.revoke(session, by: system.client)
    #expect(await report("x", of: token, system)?.reason == .tokenInactive)
    system.clock.advance(by: .seconds(301))
    try await system.server.prune()
    #expect(await report("x", of: token, system)?.reason == .tokenInactive)
    let after = try await system.restarted()
    #expect(await report("x", of: token, after)?.reason == .tokenInactive)
    #expect(try await after.rows("tool_results") == 0)
  }

  @Test("is taken for a quarter of an hour after its call's token has expired")
  func late() async throws {
    let system = try await TestSystem()
    let (first, second) = (try await call(system), try await call(system))
    system.clock.advance(by: .seconds(300 + 899))
    try await system.server.prune()
    let after = try await system.restarted()
    #expect(await report("x", of: first, after) == nil)
    after.clock.advance(by: .seconds(1))
    #expect(await report("x", of: second, after)?.reason == .tokenInactive)
    #expect(try await after.rows("tool_results") == 1)
  }

  @Test("is refused when the session holds too many, or too much text")
  func bounds() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    func tokens(_ count: Int) async throws -> [IssuedToken] {
      var tokens: [IssuedToken] = []
      for _ in 0..<count { tokens.append(try await system.toolToken(session)) }
      return tokens
    }
    let long = String(repeating: "x", count: ToolResultContent.maximumBytes)
    let fitting = SessionLedger.maximumResultBytes / long.utf8.count
    for token in try await tokens(fitting) { #expect(await report(long, of: token, system) == nil) }
    let beyond = try await tokens(1)[0]
    #expect(await report("y", of: beyond, system)?.reason == .overloaded)
    // What says nothing has room still.
    for token in try await tokens(SessionLedger.maximumResults - fitting) {
      #expect(await report("", of: token, system) == nil)
    }
    #expect(await report("", of: beyond, system)?.reason == .overloaded)
    let after = try await system.restarted()
    #expect(await report("", of: beyond, after)?.reason == .overloaded)
    #expect(try await results(session, after).count == SessionLedger.maximumResults)
    #expect(await report("y", of: try await call(after), after) == nil)
  }

  @Test("is forgotten by what it says when its session is over, and is known to have been there")
  func forgotten() async throws {
    let system = try await TestSystem()
    let token = try await call(system)
    let id = try #require(token.claims.userInputID)
    #expect(await report("the secret", of: token, system) == nil)
    system.clock.advance(by: .seconds(3600))
    try await system.server.prune()
    func stored() async throws -> [String] {
      try await system.storage.query(Statement("SELECT text FROM tool_results")).map { row in try row.text("text") }
    }
    #expect(try await stored() == ["the secret"])
    system.clock.advance(by: .seconds(301))
    try await system.server.prune()
    #expect(try await stored() == [""])
    #expect(system.server.sessions.results(in: id).isEmpty)
    // The client goes on with the same input.
    _ = try await system.issue([("user_input_id", id.rawValue), ("audience", "planner")])
    let result = try #require(system.server.sessions.results(in: id).first)
    #expect(result.text.isEmpty && result.isTruncated && result.id == token.claims.id.rawValue)
  }

  @Test("is kept while its session lives on")
  func living() async throws {
    let system = try await TestSystem()
    let token = try await call(system)
    let id = try #require(token.claims.userInputID)
    #expect(await report("here", of: token, system) == nil)
    for _ in 0..<20 {
      system.clock.advance(by: .seconds(290))
      _ = try await system.issue([("user_input_id", id.rawValue), ("audience", "planner")])
      try await system.server.prune()
    }
    #expect(system.server.sessions.results(in: id).map(\.text) == ["here"])
    #expect(try await results(token, system.restarted()).map(\.text) == ["here"])
  }

  @Test("that can't be stored is not there, and may be reported again")
  func storageGone() async throws {
    let system = try await TestSystem()
    let token = try await call(system)
    await system.storage.close()
    #expect(await report("x", of: token, system)?.code == .temporarilyUnavailable)
    #expect(try await results(token, system).isEmpty)
    #expect(await report("x", of: token, try await system.restarted()) == nil)
  }

  @Test("is taken with all reports of a request or not at all")
  func atomicity() async throws {
    let system = try await TestSystem()
    let (first, second) = (try await call(system), try await call(system))
    #expect(await report("x", of: second, system) == nil)
    let report = ToolResultReport(text: "y", isTruncated: false, unread: [])
    let refused = await refusal {
      try await system.server.record(
        [first, second].map { .toolResult(token: UnverifiedToken($0.compact), report) },
        by: AuthenticatedClient(app: system.agent))
    }
    #expect(refused?.reason == .tokenSpent)
    #expect(try await results(first, system).isEmpty)
    #expect(await self.report("y", of: first, system) == nil)
  }

  @Test(
    "is reported in no other form",
    arguments: [
      #"{"kind":"tool_result"}"#, #"{"kind":"tool_result","token":"t"}"#, #"{"kind":"tool_result","text":"x"}"#,
      #"{"kind":"tool_result","token":"t","text":1}"#, #"{"kind":"tool_result","token":"t","text":"x","truncated":1}"#,
      #"{"kind":"tool_result","token":"t","text":"x","unread":"image"}"#,
      #"{"kind":"tool_result","token":"t","text":"x","unread":["a b"]}"#,
      #"{"kind":"tool_result","token":"t","text":"x","unread":[""]}"#,
      #"{"kind":"tool_result","token":"t","text":"x","unread":["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"]}"#,
    ])
  func malformed(text: String) throws {
    let json = try JSONValue(parsing: text)
    #expect(throws: InvalidField.self) { try Report(json: json) }
  }

  @Test("is reported with text of at most 256 KiB, of which every character can be stored")
  func text() throws {
    func report(_ text: String) throws -> ToolResultReport? {
      let json: JSONValue = ["kind": "tool_result", "token": "t", "text": .string(text)]
      guard case .toolResult(_, let report) = try Report(json: json) else { return nil }
      return report
    }
    let limit = ToolResultContent.maximumBytes
    #expect(try report(String(repeating: "x", count: limit))?.text.utf8.count == limit)
    #expect(throws: InvalidField.self) { try report(String(repeating: "x", count: limit + 1)) }
    let odd = try #require(try report("a\0b\r\n"))
    #expect(odd.text == "a\u{FFFD}b\r\n" && !odd.isTruncated && odd.unread.isEmpty)
  }
}
