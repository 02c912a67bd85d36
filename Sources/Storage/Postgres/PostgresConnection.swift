import CLibPQ
import Glibc

/// One connection to PostgreSQL, used by one thread at a time, which it keeps waiting: for an answer, or until a limit
/// passes.
///
/// Statements go out in libpq's pipeline mode: all of them before the first answer is read. Each is prepared at its
/// first use and kept by its text.
final class PostgresConnection {
  /// What became of statements that were sent together.
  struct Outcome {
    /// The answers to those that were carried out, in order.
    var answers: [PostgresAnswer] = []
    /// Why the next one was refused; those after it were not looked at.
    var refusal: SQLState?
  }

  private enum Awaited {
    case preparation(of: String, as: String)
    case execution
  }

  /// More prepared statements than this and all are forgotten: some hold as many parameters as there were values.
  private static let maximumPrepared = 256

  private let handle: OpaquePointer
  private let limits: PostgresParameters.Limits
  private var prepared: [String: String] = [:]
  private var names = 0
  /// Nothing can be asked any longer.
  private(set) var isBroken = false
  /// Whether the server syncs its disk: without it a crash of its machine may lose what it acknowledged.
  let isSynced: Bool

  /// - Throws: `PostgresFailure.lost` with what libpq says, which never holds the password.
  init(_ parameters: PostgresParameters) throws(PostgresFailure) {
    limits = parameters.limits
    let words = parameters.keywords
    let keywords = words.map { strdup($0.keyword) }
    let values = words.map { strdup($0.value) }
    defer { for text in keywords + values { free(text) } }
    var keywordPointers = keywords.map { UnsafePointer<CChar>($0) }
    var valuePointers = values.map { UnsafePointer<CChar>($0) }
    keywordPointers.append(nil)
    valuePointers.append(nil)
    guard let handle = PQconnectStartParams(keywordPointers, valuePointers, 1) else { throw .lost("no memory") }
    do throws(PostgresFailure) {
      isSynced = try Self.establish(handle, parameters)
    } catch {
      PQfinish(handle)
      throw error
    }
    self.handle = handle
  }

  deinit { PQfinish(handle) }

  private static func establish(
    _ handle: OpaquePointer, _ parameters: PostgresParameters
  ) throws(PostgresFailure) -> Bool {
    // By default libpq writes what the server remarks to standard error.
    PQsetNoticeReceiver(handle, { _, _ in }, nil)
    let deadline = ContinuousClock.now + parameters.limits.connect
    guard PQstatus(handle) != CONNECTION_BAD else { throw .lost(message(handle)) }
    var next = PGRES_POLLING_WRITING
    while next != PGRES_POLLING_OK {
      switch next {
      case PGRES_POLLING_READING: _ = try wait(handle, for: POLLIN, until: deadline)
      case PGRES_POLLING_WRITING: _ = try wait(handle, for: POLLOUT, until: deadline)
      default: throw .lost(message(handle))
      }
      next = PQconnectPoll(handle)
    }
    guard PQserverVersion(handle) >= 130_000 else { throw .lost("it is older than PostgreSQL 13") }
    guard PQsetnonblocking(handle, 1) == 0, PQsendQuery(handle, parameters.settings) == 1 else {
      throw .lost(message(handle))
    }
    var last = ""
    while let result = try result(handle, until: deadline) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK: break
      case PGRES_TUPLES_OK: last = try PostgresAnswer(reading: result).rows.first?.firstText ?? ""
      default: throw .lost("its settings were refused with SQLSTATE \(state(result).code)")
      }
    }
    guard PQenterPipelineMode(handle) == 1 else { throw .lost(message(handle)) }
    return last != "off"
  }

  /// Carries out the statements one after the other, up to the first that is refused.
  /// - Parameter isKept: whether they are likely to come again, and so prepared by name.
  func run(_ statements: [Statement], isKept: Bool = true) throws(PostgresFailure) -> Outcome {
    guard !isBroken else { throw .lost("it was given up") }
    do throws(PostgresFailure) {
      return try exchange(statements, isKept: isKept)
    } catch {
      // What else would come is no answer to what is asked next.
      isBroken = true
      throw error
    }
  }

  /// The answer to one statement.
  func run(_ statement: Statement, isKept: Bool = true) throws(PostgresFailure) -> PostgresAnswer {
    let outcome = try run([statement], isKept: isKept)
    if let refusal = outcome.refusal { throw .refused(refusal) }
    guard let answer = outcome.answers.first else { throw .unreadable("an answer is missing") }
    return answer
  }

  /// Has the server drop what was prepared. Not within a transaction.
  func forgetStatements() throws(PostgresFailure) {
    prepared = [:]
    _ = try run([Statement("DEALLOCATE ALL")], isKept: false)
  }

  /// Keeps what the server remembers within bounds. Not within a transaction.
  func forgetSurplusStatements() throws(PostgresFailure) {
    if prepared.count > Self.maximumPrepared { try forgetStatements() }
  }

  /// Nothing is asked any longer; the server undoes an open transaction when the connection ends.
  func giveUp() { isBroken = true }

  private func exchange(_ statements: [Statement], isKept: Bool) throws(PostgresFailure) -> Outcome {
    let deadline = ContinuousClock.now + limits.answer
    let awaited = try send(statements, isKept: isKept)
    var outcome = Outcome()
    outcome.answers.reserveCapacity(statements.count)
    for step in awaited {
      guard let result = try Self.result(handle, until: deadline) else { throw .unreadable("an answer is missing") }
      defer { PQclear(result) }
      switch (PQresultStatus(result), step) {
      case (PGRES_PIPELINE_ABORTED, _): break
      case (PGRES_COMMAND_OK, .preparation(let sql, let name)): prepared[sql] = name
      case (PGRES_COMMAND_OK, .execution), (PGRES_TUPLES_OK, .execution):
        outcome.answers.append(try PostgresAnswer(reading: result))
      case (PGRES_FATAL_ERROR, _):
        guard PQstatus(handle) == CONNECTION_OK else { throw .lost(Self.message(handle)) }
        let state = Self.state(result)
        if state.endsConnection { throw .lost(state.error.description) }
        outcome.refusal = state
      default: throw .unreadable("an answer is of an unknown kind")
      }
      guard try Self.result(handle, until: deadline) == nil else { throw .unreadable("one answer too many") }
    }
    guard let end = try Self.result(handle, until: deadline) else { throw .unreadable("the end is missing") }
    defer { PQclear(end) }
    guard PQresultStatus(end) == PGRES_PIPELINE_SYNC else { throw .lost(Self.message(handle)) }
    return outcome
  }

  private func send(_ statements: [Statement], isKept: Bool) throws(PostgresFailure) -> [Awaited] {
    var awaited: [Awaited] = []
    awaited.reserveCapacity(statements.count + 4)
    // Known once the server has said so; until then only to those that follow in the same pipeline.
    var new: [String: String] = [:]
    for statement in statements {
      let parameters = PostgresArguments(statement.arguments)
      guard isKept else {
        guard parameters.send({ PQsendQueryParams(handle, statement.sql, $0, nil, $1, $2, $3, 0) }) else {
          throw .lost(Self.message(handle))
        }
        awaited.append(.execution)
        continue
      }
      let name: String
      if let known = prepared[statement.sql] ?? new[statement.sql] {
        name = known
      } else {
        names += 1
        name = "casa_\(names)"
        new[statement.sql] = name
        guard PQsendPrepare(handle, name, statement.sql, 0, nil) == 1 else { throw .lost(Self.message(handle)) }
        awaited.append(.preparation(of: statement.sql, as: name))
      }
      guard parameters.send({ PQsendQueryPrepared(handle, name, $0, $1, $2, $3, 0) }) else {
        throw .lost(Self.message(handle))
      }
      awaited.append(.execution)
    }
    guard PQpipelineSync(handle) == 1 else { throw .lost(Self.message(handle)) }
    return awaited
  }

  // MARK: libpq

  /// The next result, to be cleared by the caller; nil at the end of a statement's results.
  private static func result(
    _ handle: OpaquePointer, until deadline: ContinuousClock.Instant
  ) throws(PostgresFailure) -> OpaquePointer? {
    while true {
      let unsent = PQflush(handle)
      guard unsent >= 0 else { throw .lost(message(handle)) }
      // What is to be sent may wait for the server to get rid of what it answers.
      if unsent == 0, PQisBusy(handle) == 0 { return PQgetResult(handle) }
      let ready = try wait(handle, for: unsent > 0 ? POLLIN | POLLOUT : POLLIN, until: deadline)
      if ready & Int32(POLLIN) != 0, PQconsumeInput(handle) == 0 { throw .lost(message(handle)) }
    }
  }

  /// - Returns: what the socket is ready for; a failed one is ready to be read.
  private static func wait(
    _ handle: OpaquePointer, for events: Int32, until deadline: ContinuousClock.Instant
  ) throws(PostgresFailure) -> Int32 {
    let descriptor = PQsocket(handle)
    guard descriptor >= 0 else { throw .lost(message(handle)) }
    while true {
      let left = deadline - ContinuousClock.now
      guard left > .zero else { throw .lost("no answer in time") }
      let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
      var one = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      let count = poll(&one, 1, Int32(clamping: milliseconds))
      if count > 0 {
        let failed = Int32(one.revents) & ~(POLLIN | POLLOUT) != 0
        return failed ? Int32(one.revents) | POLLIN : Int32(one.revents)
      }
      guard count == 0 || errno == EINTR else { throw .lost("poll failed (errno \(errno))") }
    }
  }

  private static func state(_ result: OpaquePointer) -> SQLState {
    // PG_DIAG_SQLSTATE
    SQLState(PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) } ?? "none")
  }

  private static func message(_ handle: OpaquePointer) -> String {
    let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
    return text.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}
