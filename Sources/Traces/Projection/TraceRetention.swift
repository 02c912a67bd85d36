public import CASACore
public import Storage

/// Deletes what is told of times that are over, in transactions so short that no decision waits long for them.
public struct TraceRetention: Sendable {
  private let storage: any StorageDriver

  public init(storage: any StorageDriver) { self.storage = storage }

  /// Deletes everything that happened before `limit`; a session goes as a whole, with its prompt, when its last event
  /// did.
  public func prune(before limit: Timestamp) async throws(StorageError) {
    let moment = [SQLValue.integer(limit.milliseconds)]
    // First what names sessions: what is left of a session that was interrupted half way is found again.
    // What ended before also began before, which there is an index of.
    let isOver = "started_at < $1 AND last_at < $1"
    let ended = "SELECT number FROM trace_sessions WHERE \(isOver)"
    try await storage.deleteInBatches(
      from: "trace_facets", key: "session", where: "session IN (\(ended))", moment)
    try await storage.deleteInBatches(
      from: "user_inputs", key: "id", where: "id IN (SELECT id FROM trace_sessions WHERE \(isOver))", moment)
    try await storage.deleteInBatches(from: "trace_sessions", key: "number", where: isOver, moment)
    for (table, key, column) in [
      ("trace_tokens", "sha256", "issued_at"), ("trace_sightings", "sequence", "at"), ("trace_alerts", "id", "at"),
    ] {
      try await storage.deleteInBatches(from: table, key: key, where: "\(column) < $1", moment)
    }
    // These have no key of one column.
    try await storage.commit([
      Statement("DELETE FROM trace_flows WHERE seen_at < $1", moment),
      Statement("DELETE FROM trace_counts WHERE bucket < $1", moment),
      Statement("DELETE FROM trace_checks WHERE bucket < $1", moment),
      Statement("DELETE FROM trace_edges WHERE bucket < $1", moment),
    ])
    try await storage.deleteTraceEvents(before: limit)
  }
}
