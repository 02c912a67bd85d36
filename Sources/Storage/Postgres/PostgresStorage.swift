public import CASACore
import Foundation
public import Logging

/// The driver for a PostgreSQL server (13 or later), which several runtimes may share.
///
/// Commits are grouped as in `SQLiteStorage`, and take effect in one order, across all runtimes of a database. What is
/// acknowledged is on the server's disk, and on its synchronous standbys where it has any.
public final class PostgresStorage: StorageDriver {
  /// How many units share one transaction at most.
  private static let maximumGroup = 512
  private static let readers = 4
  /// For how many days, today included, trace events have a partition made ahead.
  private static let daysAhead = 3

  private let writer: PostgresLane<[Statement], Void>
  private let reader: PostgresLane<Statement, [Row]>
  private let upkeep: PostgresUpkeep

  /// Connects at the first call.
  /// - Parameter url: a `postgres://` URL or libpq's `keyword=value` words. What they leave out comes from libpq's
  ///   environment variables and password file.
  /// - Throws: `StorageError.unavailable` when the URL can't be read.
  public init(url: String, logger: Logger) throws(StorageError) {
    let parameters = try PostgresParameters(url: url)
    writer = PostgresLane(
      connections: 1, maximumGroup: Self.maximumGroup, parameters: parameters, logger: logger,
      perform: { (units, connection) throws(PostgresFailure) in
        try PostgresTransaction.commit(units, over: connection)
      })
    reader = PostgresLane(
      connections: Self.readers, maximumGroup: 1, parameters: parameters, logger: logger,
      perform: { (statements, connection) throws(PostgresFailure) in
        var results: [Result<[Row], StorageError>] = []
        for statement in statements { results.append(try Self.query(statement, over: connection)) }
        return results
      })
    upkeep = PostgresUpkeep(parameters: parameters)
  }

  public func commit(_ unit: [Statement]) async throws(StorageError) {
    guard unit.allSatisfy(Self.isStorable) else { throw .unstorable }
    try await writer.submit(unit)
  }

  public func query(_ statement: Statement) async throws(StorageError) -> [Row] {
    guard Self.isStorable(statement) else { throw .unstorable }
    return try await reader.submit(statement)
  }

  private static func isStorable(_ statement: Statement) -> Bool {
    statement.arguments.allSatisfy { argument in
      if case .text(let text) = argument { !text.utf8.contains(0) } else { true }
    }
  }

  private static func query(
    _ statement: Statement, over connection: PostgresConnection
  ) throws(PostgresFailure) -> Result<[Row], StorageError> {
    do throws(PostgresFailure) {
      do throws(PostgresFailure) {
        return .success(try connection.run(statement).rows)
      } catch .refused(let state) where state.isOfPreparation {
        try connection.forgetStatements()
        return .success(try connection.run(statement).rows)
      }
    } catch .refused(let state) {
      return .failure(state.error)
    }
  }

  public func migrate(_ migrations: [Migration]) async throws(StorageError) {
    try await upkeep.migrate(migrations)
    try await maintain()
  }

  /// Sees to it that trace events of the next days have their partitions.
  public func maintain() async throws(StorageError) {
    guard try await hasPartitionedTrace() else { return }
    let today = TracePartition(holding: Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)))
    let wanted = (0..<Self.daysAhead).map { TracePartition(day: today.day + Int64($0)) }
    let present = Set(try await partitions())
    for partition in wanted where !present.contains(partition) { try await upkeep.add(partition) }
  }

  /// Drops the partitions that hold nothing newer, and deletes the rest row by row.
  public func deleteTraceEvents(before limit: Timestamp) async throws(StorageError) {
    for partition in try await partitions() where partition.end <= limit { try await upkeep.drop(partition) }
    try await deleteInBatches(from: "trace_events", key: "sequence", where: "at < $1", [.integer(limit.milliseconds)])
  }

  private func hasPartitionedTrace() async throws(StorageError) -> Bool {
    let table = Statement("SELECT 1 AS one FROM pg_partitioned_table WHERE partrelid = to_regclass('trace_events')")
    return try await !query(table).isEmpty
  }

  private func partitions() async throws(StorageError) -> [TracePartition] {
    var partitions: [TracePartition] = []
    for row in try await query(
      Statement(
        """
        SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
        WHERE inhparent = to_regclass('trace_events') ORDER BY relname
        """))
    {
      if let partition = TracePartition(name: try row.text("relname")) { partitions.append(partition) }
    }
    return partitions
  }

  public func close() async {
    await writer.close()
    await reader.close()
    upkeep.close()
  }
}
