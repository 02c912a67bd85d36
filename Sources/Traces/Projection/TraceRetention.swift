public import CASACore
public import Storage

/// Deletes what is told of times that are over, in transactions so short that no decision waits long for them.
public struct TraceRetention: Sendable {
  /// So many sessions are looked at together.
  private static let batch = 512

  private let storage: any StorageDriver
  private let clock: WallClock

  public init(storage: any StorageDriver, clock: WallClock = .system) {
    self.storage = storage
    self.clock = clock
  }

  /// Deletes everything that happened before `limit`; a session goes as a whole, with its prompt and what was recorded
  /// in it, when its last event did and none of its tokens lives.
  public func prune(before limit: Timestamp) async throws(StorageError) {
    let moment = [SQLValue.integer(limit.milliseconds)]
    // What ended before also began before, which there is an index of.
    try await forget("SELECT id FROM trace_sessions WHERE started_at < $1 AND last_at < $1 ORDER BY started_at", moment)
    // Those that the projection could not begin.
    try await forget(
      """
      SELECT id FROM user_inputs WHERE created_at < $1
        AND NOT EXISTS (SELECT 1 FROM trace_sessions WHERE trace_sessions.id = user_inputs.id)
        AND NOT EXISTS (SELECT 1 FROM trace_events WHERE user_input_id = user_inputs.id AND at >= $1)
      ORDER BY id
      """, moment)
    for (table, key, column) in [
      ("trace_tokens", "sha256", "issued_at"), ("trace_sightings", "sequence", "at"), ("trace_alerts", "id", "at"),
      ("trace_flows", "node_id, flow", "seen_at"), ("trace_counts", "resolution, mas_id, bucket, what", "bucket"),
      ("trace_checks", "resolution, mas_id, bucket, check_name, answer, latency_class", "bucket"),
      ("trace_edges", "mas_id, bucket, caller, callee", "bucket"),
    ] {
      try await storage.deleteInBatches(from: table, key: key, where: "\(column) < $1", moment)
    }
    try await storage.deleteTraceEvents(before: limit)
  }

  /// Deletes the sessions that a statement finds, but for those that live.
  private func forget(_ selection: String, _ arguments: [SQLValue]) async throws(StorageError) {
    var kept = 0
    while true {
      var found: Set<String> = []
      for row in try await storage.query(
        Statement("\(selection) LIMIT \(Self.batch) OFFSET \(kept)", arguments))
      {
        found.insert(try row.text("id"))
      }
      if found.isEmpty { return }
      let living = try await forgetPrompts(of: found)
      try await forgetRecords(of: found.subtracting(living))
      kept += living.count
    }
  }

  /// Without its prompt no session begins anew: no token is issued for one that is not stored.
  /// - Returns: those that live, of which nothing was deleted.
  private func forgetPrompts(of sessions: Set<String>) async throws(StorageError) -> Set<String> {
    let ids = Statement.padded(sessions.sorted().map(SQLValue.text))
    let list = Statement.parameters(sessions.count)
    try await storage.commit([
      Statement(
        """
        DELETE FROM user_inputs WHERE id IN (\(list)) AND id NOT IN (
          SELECT user_input_id FROM tokens WHERE expires_at >= $\(ids.count + 1) AND user_input_id IN (\(list)))
        """, ids + [.integer(clock.now().milliseconds)])
    ])
    var living: Set<String> = []
    for row in try await storage.query(Statement("SELECT id FROM user_inputs WHERE id IN (\(list))", ids)) {
      living.insert(try row.text("id"))
    }
    return living
  }

  /// Last what names the sessions: what is left of them when this is interrupted is found again.
  private func forgetRecords(of sessions: Set<String>) async throws(StorageError) {
    if sessions.isEmpty { return }
    let ids = Statement.padded(sessions.sorted().map(SQLValue.text))
    let list = Statement.parameters(sessions.count)
    for (table, key, condition) in [
      ("selections", "id", "user_input_id IN (\(list))"), ("llm_calls", "id", "user_input_id IN (\(list))"),
      ("tool_results", "sequence", "user_input_id IN (\(list))"),
      ("trace_facets", "facet, session", "session IN (SELECT number FROM trace_sessions WHERE id IN (\(list)))"),
      ("trace_sessions", "number", "id IN (\(list))"),
    ] {
      try await storage.deleteInBatches(from: table, key: key, where: condition, ids)
    }
  }
}
