import AgentProtocols
import CASACore
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("Spending a tool token")
struct SpendTests {
  @Test("succeeds once, at the server it is for")
  func once() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let token = try await system.toolToken(session)
    #expect(try await system.isActive(token, for: system.weather))
    #expect(await refusal { _ = try await system.spend(token, at: system.mail) }?.reason == .tokenInactive)
    #expect(await refusal { _ = try await system.spend(token, at: system.agent) }?.reason == .tokenInactive)
    #expect(try await system.spend(token) == token.claims)
    #expect(await refusal { _ = try await system.spend(token) }?.reason == .tokenSpent)
    #expect(try await !system.isActive(token, for: system.weather))
    #expect(try await system.events(.tokenSpent).count == 1)
    #expect(try await system.events(.spendRefused).first?["payload"]?["reason"]?.string == "token_spent")
  }

  @Test("succeeds for one of a hundred who try at the same time")
  func concurrently() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session, Array(repeating: ("get_weather", ["city": "Oslo"]), count: 5))
    let token = try await system.toolToken(session)
    let outcomes = await withTaskGroup(of: RefusalReason?.self, returning: [RefusalReason?].self) { group in
      for _ in 0..<100 {
        group.addTask {
          do {
            _ = try await system.spend(token)
            return nil
          } catch {
            return (error as? OAuthError)?.reason ?? .runtimeUnavailable
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(outcomes.count { $0 == nil } == 1)
    #expect(outcomes.count { $0 == .tokenSpent } == 99)
    #expect(try await system.rows("spent_tokens") == 1)
  }

  @Test("uses up one of the LLM's selections, so that one selection never carries two calls")
  func selection() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let first = try await system.toolToken(session)
    let second = try await system.toolToken(session)
    _ = try await system.spend(first)
    #expect(await refusal { _ = try await system.spend(second) }?.reason == .toolSelectionAlreadyUsed)
    // The refused attempt did not spend it either: with another selection it is good.
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .toolSelectionAlreadyUsed)
    try await system.select(session)
    _ = try await system.spend(second)
    #expect(await refusal { _ = try await system.toolToken(session) }?.reason == .toolSelectionAlreadyUsed)
  }

  @Test("uses up one selection for one of many tokens that are spent at the same time")
  func selectionsConcurrently() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session, Array(repeating: ("get_weather", ["city": "Oslo"]), count: 3))
    var tokens: [IssuedToken] = []
    for _ in 0..<20 { tokens.append(try await system.toolToken(session)) }
    let spent = await withTaskGroup(of: Bool.self, returning: Int.self) { group in
      for token in tokens { group.addTask { (try? await system.spend(token)) != nil } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(spent == 3)
  }

  @Test("does not need a selection when the MAS does not check them")
  func withoutCheck() async throws {
    let system = try await TestSystem()
    _ = try await system.server.registry.updateMAS(
      system.mas.id, settings: .init(enabledToolChecks: [.deterministicToolSelected]))
    let token = try await system.toolToken(try await system.session())
    _ = try await system.spend(token)
    #expect(await refusal { _ = try await system.spend(token) }?.reason == .tokenSpent)
  }

  @Test("is remembered over a restart")
  func restart() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session, Array(repeating: ("get_weather", ["city": "Oslo"]), count: 2))
    let (spent, unspent) = (try await system.toolToken(session), try await system.toolToken(session))
    _ = try await system.spend(spent)
    let after = try await system.restarted()
    #expect(await refusal { _ = try await after.spend(spent) }?.reason == .tokenSpent)
    _ = try await after.spend(unspent)
    // The selections' use came back with the session.
    #expect(await refusal { _ = try await after.toolToken(session) }?.reason == .toolSelectionAlreadyUsed)
  }

  @Test("is for tool tokens that are alive")
  func others() async throws {
    let system = try await TestSystem()
    let session = try await system.issue([("user_input", "a"), ("audience", "weather")])
    #expect(await refusal { _ = try await system.spend(session) }?.reason == .tokenInactive)
    let planned = try await system.session()
    try await system.select(planned)
    let revoked = try await system.toolToken(planned)
    try await system.revoke(revoked, by: system.agent)
    #expect(await refusal { _ = try await system.spend(revoked) }?.reason == .tokenInactive)
    let expired = try await system.toolToken(planned)
    system.clock.advance(by: .seconds(300))
    #expect(await refusal { _ = try await system.spend(expired) }?.reason == .tokenInactive)
    #expect(try await system.rows("spent_tokens") == 0)
  }

  @Test("is refused when it can't be recorded")
  func storageGone() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let token = try await system.toolToken(session)
    await system.storage.close()
    #expect(await refusal { _ = try await system.spend(token) }?.code == .temporarilyUnavailable)
    let introspection = await refusal { _ = try await system.isActive(token, for: system.weather) }
    #expect(introspection?.code == .temporarilyUnavailable)
  }
}

@Suite("Introspection")
struct IntrospectionTests {
  @Test("tells of a token only the app that holds it and the app it is addressed to")
  func visibility() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let mas = try await registry.createMAS(name: try #require(Name("bank")), settings: .init())
    let stranger = try await TestSystem.app("planner", .agent, in: mas.id, registry)
    let session = try await system.session()
    #expect(try await system.isActive(session, for: system.client))
    #expect(try await system.isActive(session, for: system.agent))
    for app in [system.other, system.weather, stranger] { #expect(try await !system.isActive(session, for: app)) }
    let llm = try await system.exchange(session, .llmAccess)
    #expect(try await system.isActive(llm, for: system.agent))
    #expect(try await !system.isActive(llm, for: system.client))
  }

  @Test("answers the same for every token that is not active")
  func inactive() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let client = AuthenticatedClient(app: system.other)
    for text in ["", "x", "a.b.c", session.compact, session.compact + "x", String(repeating: "a", count: 100_000)] {
      let answer = try await system.server.introspect(UnverifiedToken(text), by: client)
      #expect(answer.json == ["active": false])
    }
  }

  @Test("tells all claims of an active token")
  func claims() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let answer = try await system.server.introspect(
      UnverifiedToken(session.compact), by: AuthenticatedClient(app: system.agent))
    #expect(answer.json["active"] == true)
    #expect(TokenClaims(json: answer.json) == session.claims)
  }

  @Test("of a token whose app or MAS is gone is inactive")
  func deletedApps() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let passedOn = try await system.exchange(session, .userInput, [("audience", "booker")])
    try await system.server.registry.deleteApp(system.agent.id)
    #expect(try await !system.isActive(passedOn, for: system.other))
    #expect(try await system.isActive(session, for: system.client))
    try await system.server.registry.deleteApp(system.client.id)
    #expect(try await !system.isActive(session, for: system.client))
  }
}

@Suite("Revoking a token")
struct RevocationTests {
  @Test("ends it and everything exchanged from it, also after a restart")
  func descendants() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    let child = try await system.exchange(session, .userInput, [("audience", "booker")])
    let grandchild = try await system.exchange(child, .userInput, by: system.other, [("audience", "weather")])
    let tool = try await system.toolToken(session)
    let unrelated = try await system.session()
    try await system.revoke(session, by: system.client)
    func expectDead(in system: TestSystem) async throws {
      #expect(try await !system.isActive(session, for: system.client))
      #expect(try await !system.isActive(child, for: system.agent))
      #expect(try await !system.isActive(grandchild, for: system.weather))
      #expect(try await !system.isActive(tool, for: system.weather))
      #expect(await refusal { _ = try await system.spend(tool) }?.reason == .tokenInactive)
      #expect(
        await refusal { _ = try await system.exchange(child, .llmAccess, by: system.other) }?.reason == .tokenInactive)
      #expect(try await system.isActive(unrelated, for: system.client))
    }
    try await expectDead(in: system)
    try await expectDead(in: try await system.restarted())
  }

  @Test("ends nothing above it or beside it")
  func ancestors() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let child = try await system.exchange(session, .userInput, [("audience", "booker")])
    let sibling = try await system.exchange(session, .userInput, [("audience", "booker")])
    try await system.revoke(child, by: system.agent)
    #expect(try await !system.isActive(child, for: system.other))
    #expect(try await system.isActive(session, for: system.agent))
    #expect(try await system.isActive(sibling, for: system.other))
  }

  @Test("is for the app that holds the token; others are answered the same and change nothing")
  func holders() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    for app in [system.agent, system.other, system.weather] { try await system.revoke(session, by: app) }
    try await system.server.revoke(UnverifiedToken("x"), by: AuthenticatedClient(app: system.client))
    #expect(try await system.isActive(session, for: system.client))
    #expect(try await system.events(.tokenRevoked).isEmpty)
    try await system.revoke(session, by: system.client)
    try await system.revoke(session, by: system.client)
    #expect(try await !system.isActive(session, for: system.client))
  }

  @Test("while tokens are exchanged leaves none alive")
  func race() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    let tokens = await withTaskGroup(of: IssuedToken?.self, returning: [IssuedToken].self) { group in
      for index in 0..<60 {
        group.addTask {
          if index == 30 { try? await system.revoke(session, by: system.client) }
          return try? await system.exchange(session, .llmAccess)
        }
      }
      return await group.reduce(into: []) { if let token = $1 { $0.append(token) } }
    }
    for token in tokens { #expect(try await !system.isActive(token, for: system.agent)) }
  }
}

@Suite("The life of a token")
struct TokenLifetimeTests {
  @Test("ends with its exp, to the millisecond")
  func expiry() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    system.clock.advance(by: .milliseconds(299_999))
    #expect(try await system.isActive(session, for: system.client))
    system.clock.advance(by: .milliseconds(1))
    #expect(try await !system.isActive(session, for: system.client))
  }

  @Test("begins with its nbf and its iat, for which a clock may be off by 30 s")
  func notBefore() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    for change in [{ $0.notBefore = $0.notBefore + .seconds(31) }, { $0.issuedAt = $0.issuedAt + .seconds(31) }]
      as [(inout TokenClaims) -> Void]
    {
      let system = try await TestSystem()
      let later = try await system.resigned(try await system.session().claims, change)
      #expect(try await !system.isActive(later, for: system.client))
      system.clock.advance(by: .seconds(1))
      #expect(try await system.isActive(later, for: system.client))
    }
    #expect(try await system.isActive(session, for: system.client))
  }

  @Test("is what the configuration says at most")
  func configuration() async throws {
    let system = try await TestSystem(configuration: .init(issuer: TestSystem.issuer, tokenLifetime: .seconds(60)))
    #expect(try await system.session().claims.expiresAt == TestClock.start + .seconds(60))
  }
}

@Suite("Forgetting what is over")
struct PruneTests {
  @Test("keeps what is alive and the trace, and drops the rest with an hour's margin")
  func prune() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    _ = try await system.spend(try await system.toolToken(session))
    try await system.revoke(session, by: system.client)
    let events = try await system.rows("trace_events")
    try await system.server.prune()
    #expect(try await system.rows("tokens") == 3)
    #expect(try await system.rows("spent_tokens") == 1)
    #expect(system.server.liveSessions == 1)
    #expect(try await !system.isActive(session, for: system.client))
    system.clock.advance(by: .seconds(300 + 61))
    let second = try await system.session()
    try await system.server.prune()
    #expect(system.server.liveSessions == 1)
    #expect(try await system.rows("tokens") == 4)
    system.clock.advance(by: .seconds(3600))
    try await system.server.prune()
    #expect(system.server.liveSessions == 0)
    #expect(try await system.rows("tokens") == 1)
    #expect(try await system.rows("spent_tokens") == 0)
    #expect(try await system.rows("trace_events") > events)
    #expect(try await !system.isActive(second, for: system.client))
  }

  @Test("keeps a session that goes on with another token")
  func resumed() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    system.clock.advance(by: .seconds(200))
    let id = try #require(session.claims.userInputID)
    let again = try await system.issue([("user_input_id", id.rawValue), ("audience", "planner")])
    system.clock.advance(by: .seconds(200))
    try await system.server.prune()
    #expect(system.server.liveSessions == 1)
    // What the LLM selected belongs to the session, not to a token.
    _ = try await system.toolToken(again)
  }

  @Test("lets a session that was dropped begin again with what was recorded in it")
  func reloaded() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    system.clock.advance(by: .seconds(1000))
    try await system.server.prune()
    #expect(system.server.liveSessions == 0)
    let id = try #require(session.claims.userInputID)
    let again = try await system.issue([("user_input_id", id.rawValue), ("audience", "planner")])
    _ = try await system.spend(try await system.toolToken(again))
    #expect(await refusal { _ = try await system.toolToken(again) }?.reason == .toolSelectionAlreadyUsed)
  }
}
