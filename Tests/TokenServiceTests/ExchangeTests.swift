import AgentProtocols
import CASACore
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("Exchanging a token")
struct ExchangeTests {
  // MARK: Who may exchange what

  @Test("is for the app the token was delivered to and for the one that holds it")
  func delivery() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    _ = try await system.exchange(session, .llmAccess, by: system.agent)
    _ = try await system.exchange(session, .llmAccess, by: system.client)
    let error = await refusal { _ = try await system.exchange(session, .llmAccess, by: system.other) }
    #expect(error?.reason == .tokenNotForThisApp)
    // The refusal is in the trace, with the token's hash.
    let event = try #require(try await system.events(.exchangeRefused).first)
    #expect(event["payload"]?["subject_token_sha256"]?.string == session.hash.text)
    #expect(event["app_id"]?.string == system.other.id.rawValue)
  }

  @Test("is refused for a token of another MAS, which stays unnamed in this one's trace")
  func otherMAS() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let mas = try await registry.createMAS(name: try #require(Name("bank")), settings: .init())
    let stranger = try await TestSystem.app("planner", .agent, in: mas.id, registry)
    let session = try await system.session()
    let error = await refusal { _ = try await system.exchange(session, .llmAccess, by: stranger) }
    #expect(error?.reason == .tokenNotForThisApp)
    let event = try #require(try await system.events(.exchangeRefused).first)
    #expect(event["mas_id"]?.string == mas.id.rawValue)
    #expect(event["user_input_id"] == .null)
    #expect(event["trace_id"] == .null)
  }

  @Test("is refused to MCP servers")
  func callers() async throws {
    let system = try await TestSystem()
    let session = try await system.issue([("user_input", "a"), ("audience", "weather")])
    let error = await refusal { _ = try await system.exchange(session, .llmAccess, by: system.weather) }
    #expect(error?.code == .unauthorizedClient)
  }

  @Test("honours may_act: nobody else may exchange the token")
  func mayAct() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let bound = try await system.resigned(session.claims) { $0.mayAct = system.agent.id }
    let exchanged = try await system.exchange(bound, .llmAccess, by: system.agent)
    #expect(exchanged.claims.mayAct == nil)
    let error = await refusal { _ = try await system.exchange(bound, .llmAccess, by: system.client) }
    #expect(error?.reason == .tokenNotForThisApp)
  }

  @Test("takes an actor's token only when it is the client's own and alive")
  func actorToken() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let own = try await system.exchange(session, .llmAccess)
    func fields(_ token: IssuedToken) -> [(String, String)] {
      [("actor_token", token.compact), ("actor_token_type", ExchangeRequest.accessTokenType)]
    }
    _ = try await system.exchange(session, .llmAccess, fields(own))
    #expect(
      await refusal { _ = try await system.exchange(session, .llmAccess, fields(session)) }?.reason == .tokenInactive)
    try await system.revoke(own, by: system.agent)
    #expect(await refusal { _ = try await system.exchange(session, .llmAccess, fields(own)) }?.reason == .tokenInactive)
  }

  @Test("is possible for a T1 only")
  func scopes() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let details = [TestSystem.details("get_weather")]
    for subject in [try await system.exchange(session, .llmAccess), try await system.toolToken(session)] {
      for scope in [Scope.userInput, .llmAccess, .callTools] {
        let fields = scope == .callTools ? details : scope == .userInput ? [("audience", "booker")] : []
        let error = await refusal { _ = try await system.exchange(subject, scope, fields) }
        #expect(error?.code == .invalidScope)
        #expect(error?.reason == .insufficientScope)
      }
    }
    #expect(await refusal { _ = try await system.exchange(session, .discoverTools) }?.code == .invalidScope)
  }

  @Test("is refused for a token that is none, expired or revoked")
  func dead() async throws {
    let system = try await TestSystem()
    for text in ["x", "a.b.c", ""] {
      #expect(await refusal { _ = try await system.respond(text, .llmAccess) }?.code == .invalidRequest)
    }
    let revoked = try await system.session()
    try await system.revoke(revoked, by: system.client)
    #expect(await refusal { _ = try await system.exchange(revoked, .llmAccess) }?.reason == .tokenInactive)
    let expired = try await system.session()
    system.clock.advance(by: .seconds(300))
    #expect(await refusal { _ = try await system.exchange(expired, .llmAccess) }?.reason == .tokenInactive)
  }

  // MARK: Narrowing

  @Test("never lengthens a token's life")
  func lifetime() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    system.clock.advance(by: .seconds(100))
    let exchanged = try await system.exchange(session, .llmAccess)
    #expect(exchanged.claims.expiresAt == session.claims.expiresAt)
    #expect(exchanged.claims.issuedAt == TestClock.start + .seconds(100))
    let shorter = try await system.exchange(session, .llmAccess, [("expires_in", "10")])
    #expect(shorter.claims.expiresAt == TestClock.start + .seconds(110))
    #expect(
      try await system.exchange(session, .llmAccess, [("expires_in", "200")]).claims.expiresAt
        == session.claims.expiresAt)
    let longer = await refusal { _ = try await system.exchange(session, .llmAccess, [("expires_in", "201")]) }
    #expect(longer?.code == .invalidRequest)
  }

  @Test("never adds a tool")
  func tools() async throws {
    let system = try await TestSystem()
    let session = try await system.issue([
      ("user_input", "a"), ("audience", "planner"), ("tools", "get_weather send_mail"),
    ])
    let fewer = try await system.exchange(session, .userInput, [("audience", "booker"), ("tools", "send_mail")])
    #expect(fewer.claims.tools.map(\.text) == ["send_mail"])
    for tools in ["get_forecast", "get_weather get_forecast", "rm_rf"] {
      let error = await refusal {
        _ = try await system.exchange(session, .userInput, [("audience", "booker"), ("tools", tools)])
      }
      #expect(error?.code == .invalidScope)
      #expect(error?.reason == .insufficientScope)
    }
    #expect(try await system.exchange(session, .llmAccess).claims.tools.isEmpty)
  }

  @Test("for an MCP server leaves the tools that this server offers as approved")
  func toolsOfServer() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    #expect(
      try await system.exchange(session, .userInput, [("audience", "mail")]).claims.tools.map(\.text) == ["send_mail"])
    _ = try await system.server.registry.recordListing(
      of: system.mail.id, try TestSystem.listing("send_mail", description: "changed"))
    #expect(try await system.exchange(session, .userInput, [("audience", "mail")]).claims.tools.isEmpty)
  }

  @Test("addresses the token to one callee of the MAS")
  func audience() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let exchanged = try await system.exchange(session, .userInput, [("audience", "booker")])
    #expect(exchanged.claims.audience == [Audience.mas(system.mas.id), Audience.app(system.other.id)])
    #expect(exchanged.claims.clientID == system.agent.id)
    #expect(exchanged.claims.subject == system.client.id)
    for fields in [[], [("audience", "assistant")], [("audience", "planner")], [("audience", "nobody")]] {
      #expect(await refusal { _ = try await system.exchange(session, .userInput, fields) }?.code == .invalidTarget)
    }
    let llm = await refusal { _ = try await system.exchange(session, .llmAccess, [("audience", "booker")]) }
    #expect(llm?.code == .invalidTarget)
  }

  // MARK: Chains

  @Test("keeps the user's intent over a chain of agents, none of which can widen it")
  func chain() async throws {
    let system = try await TestSystem()
    let third = try await TestSystem.app("payer", .agent, in: system.mas.id, system.server.registry)
    let session = try await system.issue([
      ("user_input", "a"), ("audience", "planner"), ("tools", "get_forecast get_weather"),
    ])
    let second = try await system.exchange(session, .userInput, [("audience", "booker"), ("tools", "get_weather")])
    let last = try await system.exchange(second, .userInput, by: system.other, [("audience", "payer")])
    #expect(second.claims.actors == [system.agent.id])
    #expect(last.claims.actors == [system.other.id, system.agent.id])
    #expect(
      last.claims.json["act"] == [
        "sub": .string(system.other.id.rawValue), "act": ["sub": .string(system.agent.id.rawValue)],
      ])
    for claims in [second.claims, last.claims] {
      #expect(claims.subject == system.client.id)
      #expect(claims.userInputID == session.claims.userInputID)
      #expect(claims.userInputSHA256 == session.claims.userInputSHA256)
      #expect(claims.traceID == session.claims.traceID)
      #expect(claims.tools.map(\.text) == ["get_weather"])
    }
    let wider = await refusal {
      _ = try await system.exchange(last, .userInput, by: third, [("audience", "planner"), ("tools", "get_forecast")])
    }
    #expect(wider?.reason == .insufficientScope)
    // The first agent can't take up what the last was given.
    let back = await refusal { _ = try await system.exchange(last, .llmAccess, by: system.agent) }
    #expect(back?.reason == .tokenNotForThisApp)
  }

  @Test("is refused when the chain would hold more than 16 actors")
  func chainBound() async throws {
    let system = try await TestSystem()
    var token = try await system.session()
    var holders = (system.agent, system.other)
    for length in 1...16 {
      token = try await system.exchange(token, .userInput, by: holders.0, [("audience", holders.1.name.text)])
      #expect(token.claims.actors.count == length)
      holders = (holders.1, holders.0)
    }
    let error = await refusal {
      _ = try await system.exchange(token, .userInput, by: holders.0, [("audience", holders.1.name.text)])
    }
    #expect(error?.code == .invalidRequest)
  }

  @Test("counts an app that exchanges its own token again once")
  func sameActor() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let first = try await system.exchange(session, .userInput, [("audience", "booker")])
    let second = try await system.exchange(first, .userInput, [("audience", "weather")])
    #expect(second.claims.actors == [system.agent.id])
  }

  // MARK: Tool tokens

  @Test("for a tool gives a token that is bound to exactly this call")
  func toolToken() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let response = try await system.respond(session.compact, .callTools, [TestSystem.details("get_weather")])
    let claims = response.token.claims
    #expect(claims.scope == .callTools)
    #expect(claims.audience == [Audience.app(system.weather.id)])
    #expect(claims.tools.map(\.text) == ["get_weather"])
    #expect(
      claims.call
        == ToolCallBinding(
          server: system.weather.name, tool: try #require(ToolName("get_weather")),
          argumentsSHA256: argumentsSHA256(["city": "Oslo"])))
    #expect(response.decision?.verdict == .allow)
    #expect(response.json["authorization_details"] == [try #require(claims.call).json])
    #expect(response.json["decision_id"]?.string == response.decision?.id.rawValue)
    let event = try #require(try await system.events(.tokenExchanged).last)
    #expect(event["payload"]?["decision"]?["decision_id"]?.string == response.decision?.id.rawValue)
    #expect(event["payload"]?["call"] == claims.call?.json)
  }

  @Test("for a tool is refused with the check's reason and the decision's id, and the prompt stays out of it")
  func refusedCall() async throws {
    let system = try await TestSystem()
    let session = try await system.session("a secret wish")
    let unasked = await refusal { _ = try await system.toolToken(session) }
    #expect(unasked?.code == .accessDenied)
    #expect(unasked?.reason == .noLLMCallsMadeByApp)
    #expect(unasked?.decisionID != nil)
    try await system.select(session)
    let other = await refusal { _ = try await system.toolToken(session, "get_weather", ["city": "secret city"]) }
    #expect(other?.reason == .toolNotSelectedByLLM)
    #expect(other?.description.contains("secret") == false)
    let event = try #require(try await system.events(.exchangeRefused).last)
    #expect(event["payload"]?["decision"]?["decision_id"]?.string == other?.decisionID?.rawValue)
    #expect(!event.canonicalText.contains("secret"))
  }

  @Test("refused for one of several tools yields nothing for the others: each needs its own selection")
  func oneOfSeveral() async throws {
    let system = try await TestSystem()
    let session = try await system.session("What is the weather in Oslo? Send a mail with it to a@b.")
    try await system.select(session, [("get_weather", ["city": "Oslo"])])
    let before = try await system.rows("tokens")
    let mail: [String: JSONValue] = ["to": "a@b"]
    for _ in 0..<3 {
      let error = await refusal { _ = try await system.toolToken(session, "send_mail", mail, server: "mail") }
      #expect(error?.reason == .toolNotSelectedByLLM)
    }
    // Two calls in one request are no request, even when one of them is allowed.
    let allowed = TestSystem.details("get_weather").1.dropFirst().dropLast()
    let refused = TestSystem.details("send_mail", mail, server: "mail").1.dropFirst().dropLast()
    for pair in ["[\(allowed),\(refused)]", "[\(refused),\(allowed)]", "[\(allowed),\(allowed)]"] {
      let error = await refusal {
        _ = try await system.respond(session.compact, .callTools, [("authorization_details", pair)])
      }
      #expect(error?.code == .invalidAuthorizationDetails)
    }
    #expect(try await system.rows("tokens") == before)
    _ = try await system.toolToken(session)
    try await system.select(session, [("send_mail", mail)])
    _ = try await system.toolToken(session, "send_mail", mail, server: "mail")
  }

  @Test("for a tool names the call, and only then")
  func detailsBelongToScope() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let without = await refusal { _ = try await system.exchange(session, .callTools) }
    #expect(without?.code == .invalidAuthorizationDetails)
    let with = await refusal { _ = try await system.exchange(session, .llmAccess, [TestSystem.details("get_weather")]) }
    #expect(with?.code == .invalidAuthorizationDetails)
  }

  @Test("for a tool is refused for what is no server of the MAS")
  func servers() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    for server in ["nobody", "booker", "assistant"] {
      let error = await refusal { _ = try await system.toolToken(session, server: server) }
      #expect(error?.code == .invalidTarget)
    }
    let other = await refusal {
      _ = try await system.exchange(session, .callTools, [TestSystem.details("get_weather"), ("audience", "mail")])
    }
    #expect(other?.code == .invalidTarget)
    _ = try await system.exchange(session, .callTools, [TestSystem.details("get_weather"), ("audience", "weather")])
  }

  @Test("for a tool is refused when the session does not grant it, whatever the MAS's checks say")
  func notGranted() async throws {
    let system = try await TestSystem()
    let session = try await system.issue([
      ("user_input", "a"), ("audience", "planner"), ("tools", "get_forecast"),
    ])
    try await system.select(session)
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .insufficientScope)
    _ = try await system.server.registry.updateMAS(
      system.mas.id, settings: .init(enabledToolChecks: [], allowUndecided: true))
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .insufficientScope)
    _ = try await system.toolToken(session, "get_forecast")
  }

  @Test("for a tool is refused when its definition changed, was withdrawn or never listed")
  func definitions() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let session = try await system.session()
    try await system.select(session)
    _ = try await registry.recordListing(
      of: system.weather.id, try TestSystem.listing("get_forecast", "get_weather", description: "changed"))
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .modifiedMCPToolDefinitions)
    _ = try await registry.recordListing(of: system.weather.id, try TestSystem.listing("get_forecast"))
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .unknownTool)
    _ = try await registry.recordListing(
      of: system.weather.id, try TestSystem.listing("get_forecast", "get_weather"))
    _ = try await system.toolToken(session)
    // Another server's tool of the same session is no tool of this one.
    try await system.select(session, [("send_mail", ["city": "Oslo"])])
    #expect(await refusal { _ = try await system.toolToken(session, "send_mail") }?.reason == .unknownTool)
  }

  @Test("for a tool does not use another app's selections")
  func selectionsOfOthers() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let second = try await system.exchange(session, .userInput, [("audience", "booker")])
    let error = await refusal { _ = try await system.toolToken(second, by: system.other) }
    #expect(error?.reason == .noLLMCallsMadeByApp)
  }

  @Test("for a tool does not use another session's selections")
  func selectionsOfOtherSessions() async throws {
    let system = try await TestSystem()
    let first = try await system.session()
    let second = try await system.session()
    try await system.select(first)
    #expect(await refusal { _ = try await system.toolToken(second) }?.reason == .noLLMCallsMadeByApp)
  }

  @Test("grants nothing when it can't be recorded")
  func storageGone() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    await system.storage.close()
    #expect(await refusal { _ = try await system.exchange(session, .llmAccess) }?.code == .temporarilyUnavailable)
    #expect(await refusal { _ = try await system.toolToken(session) }?.code == .temporarilyUnavailable)
  }
}

@Suite("Recording what the LLM selected")
struct RecordTests {
  private func report(_ token: IssuedToken, _ tools: [String]) throws -> Report {
    .llmCall(
      token: UnverifiedToken(token.compact),
      selections: try tools.map { (tool: try #require(ToolName($0)), argumentsSHA256: argumentsSHA256([:])) })
  }

  @Test("needs the app's own live llm-access token as evidence")
  func evidence() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let token = try await system.exchange(session, .llmAccess)
    func record(_ token: IssuedToken, by app: App) async -> OAuthError? {
      await refusal {
        try await system.server.record([try report(token, ["get_weather"])], by: AuthenticatedClient(app: app))
      }
    }
    #expect(await record(token, by: system.agent) == nil)
    #expect(await record(token, by: system.other)?.code == .accessDenied)
    #expect(await record(session, by: system.agent)?.code == .accessDenied)
    #expect(await record(session, by: system.client)?.code == .accessDenied)
    system.clock.advance(by: .seconds(300))
    #expect(await record(token, by: system.agent)?.code == .accessDenied)
    #expect(try await system.rows("selections") == 1)
  }

  @Test("stores all reports or none")
  func atomicity() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let token = try await system.exchange(session, .llmAccess)
    let error = await refusal {
      try await system.server.record(
        [try report(token, ["get_weather"]), try report(session, ["get_weather"])],
        by: AuthenticatedClient(app: system.agent))
    }
    #expect(error?.code == .accessDenied)
    #expect(try await system.rows("selections") == 0)
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .noLLMCallsMadeByApp)
  }

  @Test("takes up to 1000 selections of an app in a session, also within one request")
  func bound() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let token = try await system.exchange(session, .llmAccess)
    let hundred = try report(token, Array(repeating: "get_weather", count: 100))
    let agent = AuthenticatedClient(app: system.agent)
    let tooMany = await refusal { try await system.server.record(Array(repeating: hundred, count: 11), by: agent) }
    #expect(tooMany?.reason == .overloaded)
    try await system.server.record(Array(repeating: hundred, count: 10), by: agent)
    let oneMore = await refusal { try await system.server.record([try report(token, ["get_weather"])], by: agent) }
    #expect(oneMore?.reason == .overloaded)
    #expect(try await system.rows("selections") == 1000)
  }

  @Test("does not write into a session of another MAS")
  func foreignSession() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let mas = try await registry.createMAS(name: try #require(Name("bank")), settings: .init())
    let stranger = try await TestSystem.app("planner", .agent, in: mas.id, registry)
    let session = try #require(try await system.session().claims.userInputID)
    let report = try Report(json: ["kind": "call_admitted", "user_input_id": .string(session.rawValue)])
    try await system.server.record([report], by: AuthenticatedClient(app: stranger))
    try await system.server.record([report], by: AuthenticatedClient(app: system.agent))
    #expect(try await system.events(.callAdmitted).map { $0["user_input_id"] } == [.null, .string(session.rawValue)])
  }

  @Test(
    "is refused for a report that is malformed",
    arguments: [
      "{}", #"{"kind":"token_issued"}"#, #"{"kind":"llm_call"}"#, #"{"kind":"llm_call","token":"t"}"#,
      #"{"kind":"llm_call","token":"t","selections":[{"tool":"a b","arguments_sha256":"x"}]}"#,
      #"{"kind":"llm_call","token":"t","selections":[{"tool":"a","arguments_sha256":"x"}]}"#,
      #"{"kind":"call_refused"}"#,
      #"{"kind":"call_refused","reason":"no_such_reason"}"#, #"{"kind":"call_admitted","tool":1}"#,
      #"{"kind":"call_admitted","latency_ms":-1}"#, #"{"kind":"call_admitted","trace_id":"x"}"#,
      #"{"kind":"call_admitted","user_input_id":""}"#,
    ])
  func malformed(text: String) throws {
    let json = try JSONValue(parsing: text)
    #expect(throws: InvalidField.self) { try Report(json: json) }
  }

  @Test("keeps of a report only what is known, and only short text")
  func payload() throws {
    guard case .call(let call) = try Report(json: ["kind": "call_admitted", "tool": "a", "prompt": "secret"]) else {
      Issue.record("expected a call")
      return
    }
    #expect(call.payload == ["tool": "a"])
    let long = JSONValue.string(String(repeating: "é", count: 151))
    #expect(throws: InvalidField.self) { try Report(json: ["kind": "call_admitted", "explanation": long]) }
  }
}
