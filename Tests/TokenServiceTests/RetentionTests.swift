import CASACore
import IntentChecks
import Storage
import Testing
import Traces

@testable import TokenService

/// What is kept for the decisions of a session goes with the session, and never before.
@Suite("Forgetting old sessions")
struct RetentionTests {
  private static let tables = ["user_inputs", "llm_calls", "selections", "tool_results", "trace_sessions"]

  private func project(_ system: TestSystem) async throws {
    let projector = TraceProjector(storage: system.storage, clock: system.clock.wallClock)
    while try await projector.advance() > 0 {}
  }

  /// How many rows there are of each table.
  private func rows(_ system: TestSystem) async throws -> [Int64] {
    var counts: [Int64] = []
    for table in Self.tables { counts.append(try await system.rows(table)) }
    return counts
  }

  /// A session in which an LLM selected a call and a tool answered.
  private func play(_ system: TestSystem) async throws -> IssuedToken {
    let session = try await system.session()
    try await system.select(session)
    let token = try await system.toolToken(session)
    try await system.server.record(
      [
        .toolResult(
          token: UnverifiedToken(token.compact), ToolResultReport(text: "sunny", isTruncated: false, unread: []))
      ], by: AuthenticatedClient(app: system.agent))
    _ = try await system.spend(token)
    return session
  }

  @Test("takes their prompts, LLM calls, selections and results, and those of no other")
  func retention() async throws {
    let system = try await TestSystem()
    _ = try await play(system)
    _ = try await play(system)
    system.clock.advance(by: .seconds(7200))
    let limit = system.clock.now
    let late = try await play(system)
    try await project(system)
    #expect(try await rows(system) == [3, 3, 3, 3, 3])
    try await system.server.pruneTraces(before: limit)
    #expect(try await rows(system) == [1, 1, 1, 1, 1])
    // What is left decides as before.
    #expect(await refusal { _ = try await system.toolToken(late) }?.reason == .toolSelectionAlreadyUsed)
    try await system.select(late, [("get_forecast", ["city": "Oslo"])])
    _ = try await system.toolToken(late, "get_forecast")
  }

  @Test("leaves a session alone that lives, however long nothing was heard of it")
  func living() async throws {
    let system = try await TestSystem()
    let session = try await play(system)
    try await project(system)
    system.clock.advance(by: .seconds(7200))
    // The projection is behind: it does not know of this yet.
    let id = try #require(session.claims.userInputID)
    let again = try await system.issue([("user_input_id", id.rawValue), ("audience", "planner")])
    system.clock.advance(by: .seconds(60))
    try await system.server.pruneTraces(before: system.clock.now - .seconds(30))
    #expect(try await rows(system) == [1, 1, 1, 1, 1])
    #expect(await refusal { _ = try await system.toolToken(again) }?.reason == .toolSelectionAlreadyUsed)
    system.clock.advance(by: .seconds(7200))
    try await system.server.pruneTraces(before: system.clock.now)
    #expect(try await rows(system) == [0, 0, 0, 0, 0])
  }

  @Test("issues no token for a prompt that is forgotten, and tells of nothing it did not do")
  func forgotten() async throws {
    let system = try await TestSystem()
    let session = try await play(system)
    let id = try #require(session.claims.userInputID)
    try await system.storage.commit([Statement("DELETE FROM user_inputs")])
    let issued = try await system.events(.tokenIssued).count
    // The session is still in memory.
    let refused = await refusal { _ = try await system.issue([("user_input_id", id.rawValue)]) }
    #expect(refused?.code == .invalidRequest)
    #expect(try await system.events(.tokenIssued).count == issued)
  }

  @Test("takes what an earlier version left of sessions that were forgotten")
  func leftovers() async throws {
    let system = try await TestSystem()
    _ = try await play(system)
    _ = try await play(system)
    try await system.storage.commit([
      Statement("DELETE FROM user_inputs WHERE id IN (SELECT id FROM user_inputs LIMIT 1)"),
      Statement("DELETE FROM schema_migrations WHERE name = '2026-11-retention'"),
      Statement("DROP INDEX trace_counts_by_time"), Statement("DROP INDEX trace_checks_by_time"),
      Statement("DROP INDEX trace_edges_by_time"),
    ])
    try await system.storage.migrate(Schema.migrations)
    #expect(try await rows(system).dropLast() == [1, 1, 1, 1])
  }
}
