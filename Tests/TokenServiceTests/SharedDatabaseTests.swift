import AgentProtocols
import CASACore
import IntentChecks
import Logging
import Storage
import Synchronization
import TestPostgres
import Testing
import Traces

@testable import TokenService

/// Two runtimes on one PostgreSQL database: what one of them stored, the other knows when it decides.
@Suite("Of two runtimes on one database, one")
struct SharedDatabaseTests {
  private func reason(_ body: () async throws -> Void) async -> RefusalReason? {
    await refusal(body)?.reason
  }

  @Test("exchanges what the other issued, by what the other was told of the session")
  func sessions() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let there = try await here.replica()
    let session = try await here.session()
    #expect(await reason { _ = try await there.toolToken(session) } == .noLLMCallsMadeByApp)
    try await here.select(session)
    let token = try await there.toolToken(session)
    #expect(try await there.isActive(session, for: there.agent))
    // Told to either, known to both; used at either, used at both.
    try await there.select(session, [("get_forecast", ["city": "Oslo"])])
    _ = try await here.toolToken(session, "get_forecast")
    _ = try await here.spend(token)
    #expect(await reason { _ = try await there.spend(token) } == .tokenSpent)
    #expect(await reason { _ = try await there.toolToken(session) } == .toolSelectionAlreadyUsed)
    #expect(await reason { _ = try await here.toolToken(session) } == .toolSelectionAlreadyUsed)
  }

  @Test("compares calls with results that were reported to the other")
  func results() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let there = try await here.replica()
    let session = try await here.session("Send a mail to the address that the forecast names.")
    try await here.select(session)
    let token = try await here.toolToken(session)
    #expect(try await there.isActive(session, for: there.agent))
    try await here.server.record(
      [
        .toolResult(
          token: UnverifiedToken(token.compact),
          ToolResultReport(text: "Write to met@weather.example", isTruncated: false, unread: []))
      ], by: AuthenticatedClient(app: here.agent))
    let id = try #require(session.claims.userInputID)
    try await there.server.refresh(id)
    try await there.server.refresh(id)
    #expect(there.server.sessions.results(in: id).map(\.text) == ["Write to met@weather.example"])
    let again = await refusal {
      try await there.server.record(
        [
          .toolResult(
            token: UnverifiedToken(token.compact), ToolResultReport(text: "x", isTruncated: false, unread: []))
        ], by: AuthenticatedClient(app: there.agent))
    }
    #expect(again?.reason == .tokenSpent)
  }

  @Test("locks a session that the other refused too often")
  func lockOut() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let there = try await here.replica()
    let session = try await here.session("What is the weather in Oslo?")
    for attempt in 0..<IntentPolicy().maximumNearMisses {
      let system = attempt.isMultiple(of: 2) ? here : there
      let call: [String: JSONValue] = ["to": .string("stranger\(attempt)@evil.example")]
      try await system.select(session, [("send_mail", call)])
      #expect(
        await reason { _ = try await system.toolToken(session, "send_mail", call, server: "mail") }
          == .toolParametersMismatch)
      // Either knows how long to wait for it, whoever refused.
      try await here.select(session, [("send_mail", ["to": "a@b.example"])])
      let other = attempt.isMultiple(of: 2) ? there : here
      #expect(
        await reason { _ = try await other.toolToken(session, "send_mail", ["to": "a@b.example"], server: "mail") }
          == (attempt + 1 < IntentPolicy().maximumNearMisses ? .sessionRateLimited : .sessionLocked))
      here.clock.advance(by: .seconds(20))
    }
    try await here.select(session)
    #expect(await reason { _ = try await here.toolToken(session) } == .sessionLocked)
    #expect(await reason { _ = try await there.toolToken(session) } == .sessionLocked)
  }

  @Test("takes no token that was revoked at the other, and tells the data plane")
  func revocation() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let there = try await here.replica()
    let session = try await here.session()
    let access = try await there.exchange(session, .llmAccess)
    let cursor = await there.server.revocations.page(after: nil, of: there.mas.id, waitingFor: .zero).cursor
    try await here.revoke(session, by: here.client)
    // At once, where it is asked about.
    #expect(try await !there.isActive(session, for: there.agent))
    #expect(try await !there.isActive(access, for: there.agent))
    #expect(await reason { _ = try await there.exchange(session, .llmAccess) } == .tokenInactive)
    try await there.server.catchUp()
    let page = await there.server.revocations.page(after: cursor, of: there.mas.id, waitingFor: .zero)
    #expect(page.sessions == [try #require(session.claims.userInputID)])
    #expect(there.server.live(UnverifiedToken(session.compact)) == nil)
    // Who revoked doesn't tell twice.
    let own = await here.server.revocations.page(after: nil, of: here.mas.id, waitingFor: .zero).cursor
    try await here.server.catchUp()
    #expect(await here.server.revocations.page(after: own, of: here.mas.id, waitingFor: .zero).sessions.isEmpty)
  }

  @Test("knows what the other registered, changed and deleted, and its new key, once it has caught up")
  func registry() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let there = try await here.replica()
    let mas = try await here.server.registry.createMAS(name: try #require(Name("new")), settings: .init())
    _ = try await here.server.registry.deleteApp(here.other.id)
    _ = try await here.server.registry.recordListing(of: here.mail.id, try TestSystem.listing("send_mail", "read_mail"))
    let key = try await here.server.rotateSigningKey()
    #expect(there.server.registry.mas(mas.id) == nil)
    try await there.server.catchUp()
    #expect(there.server.registry.mas(mas.id) != nil)
    #expect(there.server.registry.app(here.other.id) == nil)
    #expect(there.server.registry.tools(of: here.mail.id).count == 2)
    #expect(there.server.keys.current.id == key.id)
    #expect(try await there.isActive(try await here.session(), for: there.agent))
  }

  @Test("raises no alert that the other raised, though both are told at once and at times of their own")
  func exfiltration() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let (node, _) = try await here.server.registry.createNode(name: try #require(NodeName("worker-1")))
    let there = try await here.replica(ahead: .milliseconds(7))
    let session = try await here.session()
    var tokens: [TokenHash] = []
    for _ in 0..<12 { tokens.append(try await here.exchange(session, .llmAccess).hash) }
    func report(_ token: TokenHash, _ id: String) throws -> FlowReport {
      try FlowReport(
        json: [
          "kind": "token_seen", "id": .string(id), "at": .number(Double(here.clock.now.milliseconds)),
          "workload": "w", "app_id": .string(here.agent.id.rawValue), "token_sha256": .string(token.text),
          "direction": "outbound", "remote": "203.0.113.9:443",
        ], now: here.clock.now)
    }
    var raised = 0
    for (index, token) in tokens.enumerated() {
      let reports = [(here, try report(token, "h\(index)")), (there, try report(token, "t\(index)"))]
      raised += try await withThrowingTaskGroup(of: Int.self, returning: Int.self) { group in
        for (system, report) in reports {
          group.addTask { try await system.server.record([report], by: AuthenticatedNode(node: node)).count }
        }
        return try await group.reduce(0, +)
      }
    }
    #expect(try await here.events(.tokenExfiltration).count == tokens.count)
    #expect(raised == tokens.count)
    #expect(try await here.events(.tokenSeen).count == 2 * tokens.count)
  }

  @Test("makes the same first key when both start at once")
  func firstKey() async throws {
    let database = try await TestDatabase("postgres")
    let clock = TestClock()
    let keys = try await withThrowingTaskGroup(of: SigningKeyID.self, returning: [SigningKeyID].self) { group in
      for _ in 0..<4 {
        group.addTask {
          let server = try await AuthorizationServer(
            configuration: .init(issuer: TestSystem.issuer), storage: try database.open(), clock: clock.wallClock)
          return server.keys.current.id
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(keys).count == 1)
  }

  @Test("decides nothing when it can't know what the other changed")
  func outOfTouch() async throws {
    let here = try await TestSystem(databaseKind: "postgres")
    let (_, secret) = try await here.server.registry.rotateSecret(of: here.agent.id)
    let credentials = ClientCredentials.secret(client: here.agent.id, secret: secret.text)
    _ = try await here.server.authenticate(credentials)
    here.server.following.withLock { $0.caughtUpAt = .now - .seconds(6) }
    #expect(!here.server.isCurrent)
    #expect(await refusal { _ = try await here.server.authenticate(credentials) }?.code == .temporarilyUnavailable)
    try await here.server.catchUp()
    _ = try await here.server.authenticate(credentials)
  }
}
