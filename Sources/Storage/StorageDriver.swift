public import CASACore

/// A database that keeps what the runtime must not lose.
///
/// A unit is a list of statements that take effect together or not at all. `commit` returns only when the unit
/// is durable; many units committed at the same time share one sync of the disk. Units take effect one after the other:
/// what one of them looks for it finds if any before it, whoever's, stored it. The sequence numbers of trace events
/// rise in the order in which units become visible.
public protocol StorageDriver: Sendable {
  /// Whether other processes may write to the same database: what one of them has in memory may be behind it.
  var isShared: Bool { get }
  /// - Throws: `StorageError`; then nothing of the unit took effect. One exception: where the connection to a server
  ///   ended before it said whether it had committed, the unit may have; it is then answered as not stored
  ///   (`unavailable`), since what nobody was told of may be stored, and never the other way round.
  func commit(_ unit: [Statement]) async throws(StorageError)
  /// - Throws: `StorageError.unavailable` or `overloaded`.
  func query(_ statement: Statement) async throws(StorageError) -> [Row]
  /// Applies those of `migrations` that were not applied before, in order, each in one transaction.
  func migrate(_ migrations: [Migration]) async throws(StorageError)
  /// Does what the database needs now and then; call it each minute or so.
  func maintain() async throws(StorageError)
  /// Deletes the trace events from before `limit`, a bounded number at a time.
  func deleteTraceEvents(before limit: Timestamp) async throws(StorageError)
  /// Waits for units under way and closes. Later calls throw `StorageError.unavailable`.
  func close() async
}

extension StorageDriver {
  /// How many rows one transaction deletes.
  private static var deletionBatch: Int { 5_000 }

  /// Deletes the rows of `table` that meet `condition`, in transactions that are short.
  /// - Parameters:
  ///   - condition: SQL, over `arguments`.
  ///   - key: the column that names a row, or the columns, with commas between.
  public func deleteInBatches(
    from table: String, key: String, where condition: String, _ arguments: [SQLValue]
  ) async throws(StorageError) {
    let some = Statement("SELECT 1 AS one FROM \(table) WHERE \(condition) LIMIT 1", arguments)
    let batch = Statement(
      """
      DELETE FROM \(table) WHERE \(condition) AND (\(key)) IN (
        SELECT \(key) FROM \(table) WHERE \(condition) LIMIT \(Self.deletionBatch))
      """, arguments)
    while try await !query(some).isEmpty { try await commit([batch]) }
  }
}
