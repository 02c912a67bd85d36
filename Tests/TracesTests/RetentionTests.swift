import CASACore
import Storage
import Synchronization
import Testing

@testable import Traces

/// A database that says how many rows of one table each unit deletes.
private final class WatchedStorage: StorageDriver {
  private let base: any StorageDriver
  private let table: String
  private let deletions = Mutex<[Int64]>([])

  init(_ base: any StorageDriver, table: String) {
    self.base = base
    self.table = table
  }

  var largestDeletion: Int64 { deletions.withLock { $0.max() ?? 0 } }
  var isShared: Bool { base.isShared }

  func rows() async throws(StorageError) -> Int64 {
    try await base.query(Statement("SELECT COUNT(*) AS n FROM \(table)")).first?.integer("n") ?? 0
  }

  func commit(_ unit: [Statement]) async throws(StorageError) {
    let before = try await rows()
    try await base.commit(unit)
    let deleted = before - (try await rows())
    deletions.withLock { $0.append(deleted) }
  }

  func query(_ statement: Statement) async throws(StorageError) -> [Row] { try await base.query(statement) }
  func migrate(_ migrations: [Migration]) async throws(StorageError) { try await base.migrate(migrations) }
  func maintain() async throws(StorageError) { try await base.maintain() }
  func deleteTraceEvents(before limit: Timestamp) async throws(StorageError) {
    try await base.deleteTraceEvents(before: limit)
  }
  func close() async { await base.close() }
}

@Suite("Forgetting old traces")
struct RetentionTests {
  /// Rows beyond what one transaction deletes, of the time before the limit, and one that is as old as the limit.
  @Test(
    "deletes flows and figures so many at a time that no decision waits long",
    arguments: [
      ("trace_flows", "(node_id, flow, node, workload, seen_at)", "'node', CAST(i AS TEXT), 'n', 'w', i"),
      ("trace_counts", "(resolution, mas_id, bucket, what, count)", "60, '', i, 'refused', 1"),
      (
        "trace_checks",
        "(resolution, mas_id, bucket, check_name, answer, latency_class, count, microseconds)",
        "3600, '', i, 'c', 'allow', 1, 1, 1"
      ), ("trace_edges", "(mas_id, bucket, caller, callee, allowed, refused, last_at)", "'m', i, 'a', 'b', 1, 0, i"),
    ])
  func batches(table: String, columns: String, values: String) async throws {
    let traces = try await TraceFixture()
    try await traces.storage.commit([
      Statement(
        """
        WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 6000)
        INSERT INTO \(table) \(columns) SELECT \(values) FROM numbers
        """)
    ])
    let watched = WatchedStorage(traces.storage, table: table)
    try await TraceRetention(storage: watched).prune(before: Timestamp(milliseconds: 6000))
    #expect(try await watched.rows() == 1)
    #expect(watched.largestDeletion == 5000)
  }

  @Test("takes with a session its prompt and facets, and leaves what went on later")
  func sessions() async throws {
    let traces = try await TraceFixture()
    for number in 0..<600 { try await traces.begin("inp_\(number)", "words of \(number)", at: number) }
    try await traces.append(traces.event(.callRefused, "inp_3", TraceFixture.bank, at: 700, ["reason": "r"]))
    try await traces.project()
    try await TraceRetention(storage: traces.storage).prune(before: TraceFixture.start + .seconds(590))
    #expect(try await traces.ids(["limit": "100"]) == (590..<600).reversed().map { "inp_\($0)" } + ["inp_3"])
    #expect(try await traces.ids(["text": "words", "limit": "100"]).count == 11)
    for (table, count) in [("user_inputs", 11), ("trace_sessions", 11), ("trace_events", 11)] as [(String, Int64)] {
      let rows = try await traces.storage.query(Statement("SELECT COUNT(*) AS n FROM \(table)"))
      #expect(try rows.first?.integer("n") == count, "\(table)")
    }
    let facets = try await traces.storage.query(
      Statement("SELECT COUNT(*) AS n FROM trace_facets WHERE session NOT IN (SELECT number FROM trace_sessions)"))
    #expect(try facets.first?.integer("n") == 0)
  }

  @Test("takes a prompt whose session the projection could never begin")
  func strays() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    try await traces.begin("inp_2", "x")
    try await traces.storage.commit([
      Statement("UPDATE trace_events SET payload = 'x', user_input_id = NULL"),
      TraceLog.insertion(of: traces.event(.callRefused, "inp_2", TraceFixture.bank, at: 100)),
    ])
    try await traces.project()
    #expect(try await traces.ids() == [])
    try await TraceRetention(storage: traces.storage).prune(before: TraceFixture.start + .seconds(50))
    let left = try await traces.storage.query(Statement("SELECT id FROM user_inputs"))
    #expect(try left.map { try $0.text("id") } == ["inp_2"])
  }
}
