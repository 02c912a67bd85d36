import CASACore
import Storage
import Testing

@testable import TokenService

@Suite("A session that was delivered to an app")
struct DeliveryTests {
  private func resume(_ session: IssuedToken, at system: TestSystem, by app: App) async -> (
    IssuedToken?, RefusalReason?
  ) {
    do {
      let trace = try #require(session.claims.traceID)
      return (try await system.server.resume(trace, by: AuthenticatedClient(app: app)).token, nil)
    } catch let error as OAuthError {
      return (nil, error.reason)
    } catch {
      return (nil, nil)
    }
  }

  @Test("is given back to it, whatever became of the runtime meanwhile")
  func restart() async throws {
    var system = try await TestSystem()
    let session = try await system.session()
    #expect(try await system.isActive(session, for: system.agent))
    for _ in 0..<2 {
      for app in [system.agent, system.client] {
        let (again, reason) = await resume(session, at: system, by: app)
        #expect(reason == nil)
        #expect(again?.claims.userInputID == session.claims.userInputID)
        #expect(again?.claims.audience == session.claims.audience && again?.claims.actors == session.claims.actors)
        #expect(again?.claims.expiresAt == session.claims.expiresAt && again?.hash != session.hash)
      }
      system = try await system.restarted()
    }
  }

  @Test("is given back to the one that had its token exchanged, too")
  func exchanged() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    _ = try await system.exchange(session, .llmAccess)
    #expect(await resume(session, at: try await system.restarted(), by: system.agent).0 != nil)
  }

  @Test("is given to no other, before or after a restart")
  func others() async throws {
    var system = try await TestSystem()
    let session = try await system.session()
    for _ in 0..<2 {
      // It is addressed to the agent, which did not get it yet.
      #expect(await resume(session, at: system, by: system.agent).1 == .sessionUnknown)
      #expect(await resume(session, at: system, by: system.other).1 == .sessionUnknown)
      system = try await system.restarted()
    }
    #expect(try await system.isActive(session, for: system.agent))
    #expect(await resume(session, at: try await system.restarted(), by: system.other).1 == .sessionUnknown)
  }

  @Test("is over when its token was revoked or ended, also after a restart")
  func ended() async throws {
    let system = try await TestSystem()
    let (revoked, expired) = (try await system.session(), try await system.session())
    for session in [revoked, expired] { #expect(try await system.isActive(session, for: system.agent)) }
    try await system.revoke(revoked, by: system.client)
    let after = try await system.restarted()
    #expect(await resume(revoked, at: after, by: system.agent).1 == .sessionUnknown)
    #expect(await resume(expired, at: after, by: system.agent).1 == nil)
    system.clock.advance(by: .seconds(301))
    #expect(await resume(expired, at: after, by: system.agent).1 == .sessionUnknown)
  }

  @Test("is forgotten an hour after its token ended")
  func pruned() async throws {
    let system = try await TestSystem()
    #expect(try await system.isActive(try await system.session(), for: system.agent))
    func count() async throws -> Int {
      try await system.storage.query(Statement("SELECT 1 AS one FROM deliveries")).count
    }
    try await system.server.prune()
    #expect(try await count() == 2)
    system.clock.advance(by: .seconds(3600 + 301))
    try await system.server.prune()
    #expect(try await count() == 0)
  }
}
