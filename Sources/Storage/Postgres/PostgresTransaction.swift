/// How units are committed together.
enum PostgresTransaction {
  /// Held by whoever commits, until it has: so the order of serial keys is that in which units become visible, and who
  /// reads on from the last key it saw misses none.
  private static let orderLock: Int64 = 0x6361_7361_0001

  private static let begin = [
    Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
    Statement("SELECT pg_advisory_xact_lock(\(orderLock))"),
  ]
  private static let savepoint = Statement("SAVEPOINT casa_run")
  private static let undo = Statement("ROLLBACK TO SAVEPOINT casa_run")
  private static let rollback = Statement("ROLLBACK")

  /// How often a group is tried that the server could not order among others.
  private static let maximumAttempts = 4
  /// More arguments than this, in bytes, are not sent before the first answer is read.
  private static let maximumRunBytes = 4 << 20
  /// After a unit was refused, so many are tried together before the next look.
  private static let carefulRun = 16

  /// One transaction for all units; the results say of each unit whether it is in it.
  /// - Throws: `PostgresFailure.lost` when the connection ended before `COMMIT` was sent, so that nothing was stored.
  static func commit(
    _ units: [[Statement]], over connection: PostgresConnection
  ) throws(PostgresFailure) -> [Result<Void, StorageError>] {
    for attempt in 1... {
      do throws(PostgresFailure) {
        return try apply(units, over: connection)
      } catch .refused(let state) {
        _ = try connection.run(rollback)
        if attempt < maximumAttempts {
          if state.isTransient { continue }
          if state.isOfPreparation {
            try connection.forgetStatements()
            continue
          }
        }
        return units.map { _ in .failure(state.error) }
      } catch {
        connection.giveUp()
        throw error
      }
    }
    return []
  }

  private static func apply(
    _ units: [[Statement]], over connection: PostgresConnection
  ) throws(PostgresFailure) -> [Result<Void, StorageError>] {
    var results: [Result<Void, StorageError>] = []
    results.reserveCapacity(units.count)
    var before = begin
    var longest = units.count
    while results.count < units.count {
      let run = run(of: units[results.count...], longest: longest)
      let refused = try attempt(run, after: before, over: connection)
      before = []
      guard let refused else {
        results += run.map { _ in .success(()) }
        longest = min(longest * 2, units.count)
        continue
      }
      _ = try connection.run(undo)
      // Those before it were not refused, and are carried out again without it.
      let good = run.prefix(refused.unit)
      if !good.isEmpty, try attempt(good, after: [], over: connection) != nil {
        throw .unreadable("a statement that was carried out was refused when it came again")
      }
      results += good.map { _ in .success(()) }
      results.append(.failure(refused.error))
      longest = carefulRun
    }
    guard results.contains(where: { if case .success = $0 { true } else { false } }) else {
      _ = try connection.run(rollback)
      return results
    }
    let failure: StorageError
    do throws(PostgresFailure) {
      // A transaction that failed answers COMMIT with ROLLBACK, and no error.
      if try connection.run(Statement("COMMIT")).tag == "COMMIT" { return results }
      failure = .unavailable("PostgreSQL rolled the transaction back")
    } catch .refused(let state) {
      if state.isTransient { throw .refused(state) }
      failure = state.error
    } catch {
      // Stored or not, nobody knows: nobody may be told that it is.
      failure = error.storageError
    }
    return results.map { result in
      if case .success = result { .failure(failure) } else { result }
    }
  }

  /// The first of the units, as many as are sent together.
  private static func run(of units: ArraySlice<[Statement]>, longest: Int) -> ArraySlice<[Statement]> {
    var bytes = 0
    let end = units.prefix(longest).firstIndex { unit in
      defer { bytes += unit.lazy.flatMap(\.arguments).reduce(0) { $0 + $1.bytes } }
      return bytes > maximumRunBytes
    }
    return units[..<(end ?? units.startIndex + min(longest, units.count))]
  }

  /// Carries out units behind a savepoint.
  /// - Returns: the first that was refused; then the savepoint is to be rolled back to.
  private static func attempt(
    _ units: ArraySlice<[Statement]>, after before: [Statement], over connection: PostgresConnection
  ) throws(PostgresFailure) -> (unit: Int, error: StorageError)? {
    let head = before + [savepoint]
    let outcome = try connection.run(head + units.joined())
    var answers = outcome.answers.dropFirst(head.count)
    for (index, unit) in units.enumerated() {
      for (position, statement) in unit.enumerated() {
        guard let answer = answers.popFirst() else {
          guard let state = outcome.refusal else { throw .unreadable("an answer is missing") }
          guard outcome.answers.count >= head.count, state.isConflict || state.isOfStatement, !state.isOfPreparation
          else { throw .refused(state) }
          return (index, state.error)
        }
        if let expected = statement.expectedChanges, answer.changes != expected {
          return (index, .unexpectedChanges(statement: position, expected: expected, actual: answer.changes))
        }
      }
    }
    if let state = outcome.refusal { throw .refused(state) }
    return nil
  }
}

extension SQLValue {
  /// How much there is to send.
  fileprivate var bytes: Int {
    switch self {
    case .null: 0
    case .integer: 8
    case .text(let text): text.utf8.count
    case .blob(let bytes): bytes.count
    }
  }
}
