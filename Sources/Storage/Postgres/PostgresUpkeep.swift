import Dispatch
import Foundation
import Synchronization

/// Changes of the schema, one after the other over a connection of their own, beside the commits. Runtimes that share a
/// database do them in turn.
final class PostgresUpkeep: Sendable {
  /// Held while the schema is changed.
  private static let lock: Int64 = 0x6361_7361_0002
  /// How long another runtime is waited for that changes the schema.
  private static let patience = Duration.seconds(120)
  /// A table's lock that is not free within the connection's limit is asked for so often: whoever waits for it keeps
  /// others waiting.
  private static let maximumAttempts = 10

  private let parameters: PostgresParameters
  private let queue = DispatchQueue(label: "casa.postgres.upkeep")
  private let isClosed = Atomic(false)

  init(parameters: PostgresParameters) {
    self.parameters = PostgresParameters(
      parameters,
      limits: PostgresParameters.Limits(
        connect: parameters.limits.connect, statement: nil, lock: .seconds(1), answer: .seconds(3600)))
  }

  func close() { isClosed.store(true, ordering: .releasing) }

  func migrate(_ migrations: [Migration]) async throws(StorageError) {
    try await run { (connection) throws(PostgresFailure) in
      let table = "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, sequence BIGINT NOT NULL)"
      _ = try connection.run(Statement(table), isKept: false)
      let applied = try connection.run(Statement("SELECT name FROM schema_migrations"), isKept: false)
      let names = Set(applied.rows.compactMap(\.firstText))
      for (index, migration) in migrations.enumerated() where !names.contains(migration.name) {
        let record = Statement(
          "INSERT INTO schema_migrations (name, sequence) VALUES ($1, $2)",
          [.text(migration.name), .integer(Int64(index))])
        try Self.apply(migration.postgresStatements.map { Statement($0) } + [record], over: connection)
      }
    }
  }

  func add(_ partition: TracePartition) async throws(StorageError) {
    try await run { (connection) throws(PostgresFailure) in
      do throws(PostgresFailure) {
        try Self.apply(partition.creation.map { Statement($0) }, over: connection)
      } catch .refused(.duplicateTable) {
        // Another runtime was faster.
      }
    }
  }

  func drop(_ partition: TracePartition) async throws(StorageError) {
    try await run { (connection) throws(PostgresFailure) in
      try Self.apply([Statement("DROP TABLE IF EXISTS \(partition.name)")], over: connection)
    }
  }

  /// All statements in one transaction.
  private static func apply(
    _ statements: [Statement], over connection: PostgresConnection
  ) throws(PostgresFailure) {
    for attempt in 1... {
      let outcome = try connection.run([Statement("BEGIN")] + statements + [Statement("COMMIT")], isKept: false)
      guard let state = outcome.refusal else {
        guard outcome.answers.last?.tag == "COMMIT" else { throw .unreadable("a change of the schema was rolled back") }
        return
      }
      _ = try connection.run(Statement("ROLLBACK"), isKept: false)
      guard attempt < maximumAttempts, state == .lockNotAvailable || state.isTransient else { throw .refused(state) }
      Thread.sleep(forTimeInterval: 0.1)
    }
  }

  private func run(
    _ work: @escaping @Sendable (PostgresConnection) throws(PostgresFailure) -> Void
  ) async throws(StorageError) {
    try await withCheckedContinuation { (done: CheckedContinuation<Result<Void, StorageError>, Never>) in
      queue.async { [self] in
        do throws(PostgresFailure) {
          guard !isClosed.load(ordering: .acquiring) else {
            return done.resume(returning: .failure(.unavailable("it is closed")))
          }
          let connection = try PostgresConnection(parameters)
          // Released when the connection ends.
          let attempt = Statement("SELECT CASE WHEN pg_try_advisory_lock(\(Self.lock)) THEN 'yes' ELSE 'no' END")
          let deadline = ContinuousClock.now + Self.patience
          while try connection.run(attempt).rows.first?.firstText != "yes" {
            guard ContinuousClock.now < deadline else { throw .refused(.lockNotAvailable) }
            Thread.sleep(forTimeInterval: 0.1)
          }
          try work(connection)
          done.resume(returning: .success(()))
        } catch {
          done.resume(returning: .failure(error.storageError))
        }
      }
    }.get()
  }
}
