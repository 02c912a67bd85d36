public import CASACore
import Dispatch
import Foundation
import GRDB
import Logging
import PrivateFiles
import Synchronization

/// The embedded driver: one SQLite file in WAL mode, synced before any commit is acknowledged.
///
/// Commits are grouped: units that arrive while one transaction is being synced share the next one, in which one that
/// is refused does not touch its neighbours.
public final class SQLiteStorage: StorageDriver {
  private struct Pending {
    let unit: [Statement]
    let completion: CheckedContinuation<Result<Void, StorageError>, Never>
  }

  private struct State {
    var pending: [Pending] = []
    var draining = false
    var closed = false
  }

  /// More waiting units than this and new ones are refused: memory stays bounded when the disk stalls.
  private static let maximumPending = 20_000
  /// How many units share one transaction at most, so that the first does not wait for a thousand others.
  private static let maximumGroup = 512

  /// How long the next group is waited for when the last one held several units.
  private static let gatheringSeconds = 0.000_6

  private let database: DatabasePool
  private let checkpointer: WALCheckpointer
  private let lock: FileLock
  private let state = Mutex(State())

  /// Opens or creates `casa.sqlite` in `directory`, which is made readable by its owner only.
  /// - Throws: `StorageError.unavailable` when another process has it open or it can't be opened.
  public init(directory: String) throws(StorageError) {
    do throws(PrivateFileError) {
      try PrivateFile.makeDirectory(directory)
    } catch {
      throw StorageError.unavailable(error.description)
    }
    lock = try FileLock(path: directory + "/casa.lock")
    let path = directory + "/casa.sqlite"
    guard
      FileManager.default.fileExists(atPath: path)
        || FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
    else { throw .unavailable("\(path) can't be made") }
    var configuration = Configuration()
    configuration.journalMode = .wal
    configuration.busyMode = .timeout(5)
    configuration.maximumReaderCount = 4
    configuration.prepareDatabase { database in
      // FULL: a commit returns only after the write-ahead log is on the disk. A commit that finds the log larger
      // than 16 MiB copies what the checkpointer has not, and the log begins anew.
      try database.execute(
        sql: "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 4096")
    }
    do {
      database = try DatabasePool(path: path, configuration: configuration)
      checkpointer = try WALCheckpointer(path: path, configuration: configuration)
    } catch {
      throw Self.storageError(error)
    }
  }

  public var isShared: Bool { false }

  public func commit(_ unit: [Statement]) async throws(StorageError) {
    let result = await withCheckedContinuation { (completion: CheckedContinuation<Result<Void, StorageError>, Never>) in
      let refusal: StorageError? = state.withLock { state in
        if state.closed { return Self.closed }
        if state.pending.count >= Self.maximumPending { return .overloaded }
        state.pending.append(Pending(unit: unit, completion: completion))
        if !state.draining {
          state.draining = true
          // Handed to the writer under the lock, and so before whoever closes the database.
          database.asyncWriteWithoutTransaction { [self] connection in drain(into: connection) }
        }
        return nil
      }
      if let refusal { completion.resume(returning: .failure(refusal)) }
    }
    try result.get()
  }

  private func drain(into connection: Database) {
    var previous = 0
    while true {
      // Where several came while the last group was synced, more are on their way, and share the next sync.
      if previous > 1 { Thread.sleep(forTimeInterval: Self.gatheringSeconds) }
      let group: [Pending] = state.withLock { state in
        let group = Array(state.pending.prefix(Self.maximumGroup))
        state.pending.removeFirst(group.count)
        if group.isEmpty { state.draining = false }
        return group
      }
      if group.isEmpty { return }
      previous = group.count
      let results = Self.commit(group.map(\.unit), into: connection)
      checkpointer.didCommit(group.count)
      for (pending, result) in zip(group, results) { pending.completion.resume(returning: result) }
    }
  }

  /// One transaction for all units; the results say of each unit whether it is in it.
  private static func commit(_ units: [[Statement]], into connection: Database) -> [Result<Void, StorageError>] {
    do {
      if try commitTogether(units, into: connection) { return units.map { _ in .success(()) } }
      var results: [Result<Void, StorageError>] = []
      results.reserveCapacity(units.count)
      try connection.inTransaction(.immediate) {
        for unit in units { results.append(try applyInSavepoint(unit, to: connection)) }
        return .commit
      }
      return results
    } catch {
      // Nothing of the group is stored, whatever its units answered.
      let failure = storageError(error)
      return units.map { _ in .failure(failure) }
    }
  }

  /// Most groups hold no unit that is refused, and so need no savepoints.
  /// - Returns: false when a unit was refused; then nothing was stored.
  private static func commitTogether(_ units: [[Statement]], into connection: Database) throws -> Bool {
    var isRefused = false
    try connection.inTransaction(.immediate) {
      for unit in units {
        if case .failure = try apply(unit, to: connection) {
          isRefused = true
          return .rollback
        }
      }
      return .commit
    }
    return !isRefused
  }

  private static func applyInSavepoint(
    _ unit: [Statement], to connection: Database
  ) throws -> Result<Void, StorageError> {
    var result: Result<Void, StorageError> = .success(())
    try connection.inSavepoint {
      result = try apply(unit, to: connection)
      if case .failure = result { return .rollback }
      return .commit
    }
    return result
  }

  /// Texts whose statements each connection keeps prepared; queries of many filters and limits have more.
  private static let keptTexts = Mutex(Set<String>())
  private static let maximumKeptTexts = 512

  private static func prepared(_ sql: String, on connection: Database) throws -> GRDB.Statement {
    let isKept = keptTexts.withLock { texts in
      texts.contains(sql) || texts.count < maximumKeptTexts && texts.insert(sql).inserted
    }
    return isKept ? try connection.cachedStatement(sql: sql) : try connection.makeStatement(sql: sql)
  }

  /// Carries out a unit up to its first statement that is refused, and leaves undoing it to the caller.
  private static func apply(_ unit: [Statement], to connection: Database) throws -> Result<Void, StorageError> {
    do {
      for (index, statement) in unit.enumerated() {
        let prepared = try Self.prepared(statement.sql, on: connection)
        try prepared.execute(arguments: arguments(of: statement))
        if let expected = statement.expectedChanges, connection.changesCount != expected {
          return .failure(.unexpectedChanges(statement: index, expected: expected, actual: connection.changesCount))
        }
      }
      return .success(())
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
      return .failure(.conflict)
    } catch let error as DatabaseError
      where [.SQLITE_TOOBIG, .SQLITE_MISMATCH].contains(error.resultCode)
    {
      return .failure(.unstorable)
    }
  }

  public func query(_ statement: Statement) async throws(StorageError) -> [Row] {
    guard !state.withLock(\.closed) else { throw Self.closed }
    let result: Result<[Row], any Error>
    do {
      let rows = try await database.read { connection -> [Row] in
        let prepared = try Self.prepared(statement.sql, on: connection)
        let cursor = try GRDB.Row.fetchCursor(prepared, arguments: Self.arguments(of: statement))
        let names = prepared.columnNames
        let columns = Dictionary(zip(names, names.indices), uniquingKeysWith: { first, _ in first })
        var rows: [Row] = []
        while let row = try cursor.next() {
          rows.append(Row(columns: columns, values: names.indices.map { Self.value(row[$0] as DatabaseValue) }))
        }
        return rows
      }
      result = .success(rows)
    } catch {
      result = .failure(error)
    }
    switch result {
    case .success(let rows): return rows
    case .failure(let error): throw Self.storageError(error)
    }
  }

  public func migrate(_ migrations: [Migration]) async throws(StorageError) {
    try await commit([
      Statement("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, sequence BIGINT NOT NULL)")
    ])
    let applied = try await query(Statement("SELECT name FROM schema_migrations"))
    var names: Set<String> = []
    for row in applied { names.insert(try row.text("name")) }
    for (index, migration) in migrations.enumerated() where !names.contains(migration.name) {
      try await commit(
        migration.sqliteStatements.map { Statement($0) } + [
          Statement(
            "INSERT INTO schema_migrations (name, sequence) VALUES ($1, $2)",
            [.text(migration.name), .integer(Int64(index))], expectedChanges: 1)
        ])
    }
  }

  public func maintain() async throws(StorageError) {}

  public func deleteTraceEvents(before limit: Timestamp) async throws(StorageError) {
    try await deleteInBatches(from: "trace_events", key: "sequence", where: "at < $1", [.integer(limit.milliseconds)])
  }

  public func close() async {
    let wasClosed = state.withLock { state in
      defer { state.closed = true }
      return state.closed
    }
    // A connection that is gone must not be touched again: SQLite would crash.
    if wasClosed { return }
    // The writer is serial: when this runs, everything queued before it was committed.
    try? await database.writeWithoutTransaction { [checkpointer] connection in
      checkpointer.close()
      _ = try connection.checkpoint(.truncate)
    }
    try? database.close()
    lock.release()
  }

  private static func arguments(of statement: Statement) -> StatementArguments {
    // As existentials: for a sequence of one type GRDB goes over key paths, which costs more.
    StatementArguments(
      statement.arguments.map { value -> (any DatabaseValueConvertible)? in
        switch value {
        case .null: nil
        case .integer(let integer): integer
        case .text(let text): text
        case .blob(let bytes): Data(bytes)
        }
      })
  }

  private static func value(_ value: DatabaseValue) -> SQLValue {
    switch value.storage {
    case .null: .null
    case .int64(let integer): .integer(integer)
    // Nothing of ours stores any; in a damaged database it could be of any size.
    case .double(let double): Int64(exactly: double.rounded(.towardZero)).map(SQLValue.integer) ?? .null
    case .string(let text): .text(text)
    case .blob(let data): .blob(Array(data))
    }
  }

  private static let closed = StorageError.unavailable("it is closed")

  private static func storageError(_ error: any Error) -> StorageError {
    if let error = error as? StorageError { return error }
    guard let error = error as? DatabaseError else { return .unavailable("\(error)") }
    // Never the statement or its arguments: they may hold a prompt.
    return .unavailable("SQLite answered \(error.extendedResultCode.rawValue) \(error.message ?? "")")
  }
}
