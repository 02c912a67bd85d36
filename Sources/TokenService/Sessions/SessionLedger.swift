import AgentProtocols
import CASACore
import IntentChecks
import Storage
import Synchronization
import Traces

/// What happened in the live sessions: which apps asked the LLM and what it selected for each, and what tools answered.
/// Everything here is stored before anybody is told of it; memory only spares the question.
///
/// A session is live while one of its tokens is. It is loaded when a first token is issued for it, so before
/// anything can be recorded in it, and dropped when its last token is gone.
final class SessionLedger: Sendable {
  /// More live sessions than this and no new one begins.
  static let maximumSessions = 200_000
  /// More selections by one app in one session than this and no further is recorded, so no further call passes.
  static let maximumSelections = 1000

  /// More results in one session than this, or more bytes of text in them, and no further reaches an app.
  static let maximumResults = 256
  static let maximumResultBytes = 4 << 20
  /// The same for the text of all live sessions together.
  static let maximumResultBytesOfAll = 1 << 30

  private struct Session {
    var input: UserInput
    var liveUntil: Timestamp
    var activities: [AppID: Activity] = [:]
    /// Of all apps, in the order in which they came.
    var results: [ToolResult] = []
    var resultBytes = 0
    var nearMisses = NearMisses()
    var underWay = CallsUnderWay()
    /// Until when the session's token lives that each app holds, as far as this runtime stored it; see `Delivery`.
    var deliveredUntil: [AppID: Timestamp] = [:]
  }

  /// One app's doings in one session.
  struct Activity: Sendable {
    var llmCalls = 0
    var selections: [RecordedSelection] = []

    /// Grows with all that happens.
    var size: Int { llmCalls + selections.count + selections.count { $0.isUsed } }
  }

  private let sessions = Mutex([UserInputID: Session]())
  /// The text in all results; changed only while `sessions` is locked.
  private let resultBytes = Mutex(0)
  private let storage: any StorageDriver
  private let clock: WallClock
  private let loads = SerialQueue()

  /// Loads the sessions that have live tokens, where no other runtime does something in them: otherwise each is loaded
  /// when it is asked about.
  init(storage: any StorageDriver, clock: WallClock) async throws(StorageError) {
    self.storage = storage
    self.clock = clock
    if storage.isShared { return }
    let live = try await storage.query(
      Statement(
        """
        SELECT user_input_id AS id, MAX(expires_at) AS live_until FROM tokens
        WHERE expires_at > $1 AND user_input_id IS NOT NULL GROUP BY user_input_id
        """, [.integer(clock.now().milliseconds)]))
    for row in live {
      _ = try await load(
        UserInputID(try row.text("id")), liveUntil: Timestamp(milliseconds: try row.integer("live_until")))
    }
  }

  var count: Int { sessions.withLock { $0.count } }

  /// The session of a live token; nil when it is not live.
  func input(_ id: UserInputID) -> UserInput? { sessions.withLock { $0[id]?.input } }

  /// Whether it is not stored yet that an app holds this token of a live session. A token that was issued again does
  /// not stand in for the one that was delivered.
  func isNews(_ delivery: Delivery) -> Bool {
    guard let id = delivery.token.claims.userInputID else { return false }
    return sessions.withLock { sessions in
      sessions[id].map { $0.deliveredUntil[delivery.app].map { $0 < delivery.token.claims.expiresAt } ?? true } ?? false
    }
  }

  /// Takes in a delivery that is stored.
  func record(_ delivery: Delivery) {
    guard let id = delivery.token.claims.userInputID else { return }
    let until = delivery.token.claims.expiresAt
    sessions.withLock { sessions in
      guard let known = sessions[id] else { return }
      sessions[id]?.deliveredUntil[delivery.app] = max(known.deliveredUntil[delivery.app] ?? until, until)
    }
  }

  func activity(of app: AppID, in id: UserInputID) -> Activity {
    sessions.withLock { $0[id]?.activities[app] ?? Activity() }
  }

  /// Begins the session of a new user input.
  /// - Returns: false when there are too many; then nothing was kept.
  func begin(_ input: UserInput, liveUntil: Timestamp) -> Bool {
    sessions.withLock { sessions in
      guard sessions.count < Self.maximumSessions else { return false }
      sessions[input.id] = Session(input: input, liveUntil: liveUntil)
      return true
    }
  }

  /// Takes back a session that began and could not be stored.
  func abandon(_ id: UserInputID) {
    sessions.withLock { sessions in
      guard let session = sessions.removeValue(forKey: id) else { return }
      resultBytes.withLock { $0 -= session.resultBytes }
    }
  }

  /// Keeps a session alive for another token, loading it when it was dropped.
  /// - Returns: nil when there is no such user input, or too many sessions.
  func resume(_ id: UserInputID, liveUntil: Timestamp) async throws(StorageError) -> UserInput? {
    let known = sessions.withLock { sessions -> UserInput? in
      guard let session = sessions[id] else { return nil }
      sessions[id]?.liveUntil = max(session.liveUntil, liveUntil)
      return session.input
    }
    if let known { return known }
    return try await load(id, liveUntil: liveUntil)
  }

  /// One load at a time, so that two never put the same session in memory one after the other.
  private func load(_ id: UserInputID, liveUntil: Timestamp) async throws(StorageError) -> UserInput? {
    try await loads.run { [self] () async throws(StorageError) -> UserInput? in
      if let input = sessions.withLock({ $0[id]?.input }) { return input }
      guard
        let row = try await storage.query(
          Statement("SELECT \(UserInput.columns) FROM user_inputs WHERE id = $1", [.text(id.rawValue)])
        ).first
      else { return nil }
      let loaded = try await read(try UserInput(row: row), liveUntil: liveUntil)
      return sessions.withLock { sessions in
        guard sessions.count < Self.maximumSessions else { return nil }
        sessions[id] = loaded
        resultBytes.withLock { $0 += loaded.resultBytes }
        return loaded.input
      }
    }
  }

  /// What is stored of a session.
  private func read(_ input: UserInput, liveUntil: Timestamp) async throws(StorageError) -> Session {
    var session = Session(input: input, liveUntil: liveUntil)
    for row in try await storage.query(
      Statement(
        "SELECT app_id, COUNT(*) AS calls FROM llm_calls WHERE user_input_id = $1 GROUP BY app_id",
        [.text(input.id.rawValue)]))
    {
      session.activities[AppID(try row.text("app_id")), default: Activity()].llmCalls = Int(try row.integer("calls"))
    }
    for row in try await storage.query(
      Statement(
        "SELECT app_id, tool, arguments_sha256, used_by_jti FROM selections WHERE user_input_id = $1 ORDER BY recorded_at",
        [.text(input.id.rawValue)]))
    {
      guard let tool = ToolName(try row.text("tool")) else { throw .corrupt("a selection's tool can't be read") }
      session.activities[AppID(try row.text("app_id")), default: Activity()].selections.append(
        RecordedSelection(
          tool: tool, argumentsSHA256: try row.text("arguments_sha256"),
          isUsed: try row.optionalText("used_by_jti") != nil))
    }
    for row in try await storage.query(
      Statement(
        "SELECT \(ToolResult.columns) FROM tool_results WHERE user_input_id = $1 ORDER BY sequence",
        [.text(input.id.rawValue)]))
    {
      let result = try ToolResult(row: row)
      session.results.append(result)
      session.resultBytes += result.text.utf8.count
    }
    session.nearMisses = try await storedNearMisses(of: input)
    return session
  }

  /// Takes in what any runtime has stored of a session by now. What is held only grows: an answer that is overtaken by
  /// a newer one takes nothing back.
  func refresh(_ id: UserInputID) async throws(StorageError) {
    guard let known = sessions.withLock({ $0[id] }) else { return }
    let stored = try await read(known.input, liveUntil: known.liveUntil)
    sessions.withLock { sessions in
      guard var session = sessions[id] else { return }
      for (app, activity) in stored.activities where activity.size > (session.activities[app]?.size ?? 0) {
        session.activities[app] = activity
      }
      session.nearMisses.merge(stored.nearMisses)
      // Those that are about to be stored come last.
      let names = Set(stored.results.map(\.id))
      session.results = stored.results + session.results.filter { !names.contains($0.id) }
      let bytes = session.results.lazy.map(\.text.utf8.count).reduce(0, +)
      resultBytes.withLock { $0 += bytes - session.resultBytes }
      session.resultBytes = bytes
      sessions[id] = session
    }
  }

  /// Takes in an LLM call that is stored.
  func recordLLMCall(by app: AppID, in id: UserInputID, selections: [RecordedSelection]) {
    // Otherwise who refreshes may have it already.
    if storage.isShared { return }
    sessions.withLock { sessions in
      sessions[id]?.activities[app, default: Activity()].llmCalls += 1
      sessions[id]?.activities[app, default: Activity()].selections += selections
    }
  }

  /// Marks one unused selection of this call as carried out, as the storage did.
  func markUsed(tool: ToolName, argumentsSHA256: String, by app: AppID, in id: UserInputID) {
    if storage.isShared { return }
    sessions.withLock { sessions in
      let index = sessions[id]?.activities[app]?.selections.firstIndex {
        $0.tool == tool && $0.argumentsSHA256 == argumentsSHA256 && !$0.isUsed
      }
      if let index { sessions[id]?.activities[app]?.selections[index].isUsed = true }
    }
  }

  // MARK: Calls under way

  /// Counts a call among those that may be carried out, until `end` says what became of it. What another app carried
  /// out counts until its token's time is over: too many are refused rather than too few.
  /// - Returns: how many others of its tool there are; nil when too many wait already.
  func begin(_ call: CallsUnderWay.Call, by app: AppID, in id: UserInputID, at now: Timestamp) -> Int? {
    sessions.withLock { sessions in
      guard sessions[id] != nil else { return 0 }
      guard sessions[id]?.underWay.begin(call, at: now) ?? false else { return nil }
      let selections = sessions[id]?.activities[app]?.selections ?? []
      let done = Set(selections.lazy.filter { $0.isUsed && $0.tool == call.tool }.map(\.argumentsSHA256))
      return sessions[id]?.underWay.others(than: call, at: now, isDone: done.contains)
    }
  }

  /// - Parameter grantedUntil: until when the call may be carried out; nil when it was refused.
  func end(_ call: CallsUnderWay.Call, in id: UserInputID, grantedUntil: Timestamp?) {
    sessions.withLock { $0[id]?.underWay.end(call, grantedUntil: grantedUntil) }
  }

  // MARK: Near misses

  func nearMisses(in id: UserInputID) -> NearMisses { sessions.withLock { $0[id]?.nearMisses ?? NearMisses() } }

  /// Counts a call that a check of intent refused.
  func recordNearMiss(in id: UserInputID, at now: Timestamp) {
    sessions.withLock { $0[id]?.nearMisses.record(at: now) }
  }

  private func storedNearMisses(of input: UserInput) async throws(StorageError) -> NearMisses {
    let reasons = RefusalReason.allCases.filter(\.isNearMiss)
    let rows = try await storage.query(
      Statement(
        // Refusals of other kinds, of which there may be many, are left out before they are counted.
        """
        SELECT at, payload FROM trace_events WHERE user_input_id = $1 AND kind = $2 AND at >= $3
        AND (\(reasons.indices.map { "payload LIKE $\($0 + 4)" }.joined(separator: " OR ")))
        ORDER BY sequence LIMIT 1000
        """,
        [
          .text(input.id.rawValue), .text(TraceEvent.Kind.exchangeRefused.rawValue),
          // So that only some partitions are looked at; with a margin for clocks that differ.
          .integer((input.createdAt - .seconds(3600)).milliseconds),
        ] + reasons.map { .text("%\($0.rawValue)%") }))
    var nearMisses = NearMisses()
    for row in rows {
      let reason = (try? JSONValue(parsing: try row.text("payload")))?["reason"]?.string
      guard reason.flatMap({ RefusalReason(rawValue: $0) })?.isNearMiss ?? false else { continue }
      nearMisses.record(at: Timestamp(milliseconds: try row.integer("at")))
    }
    return nearMisses
  }

  // MARK: Results

  /// What the tools answered in a live session, to all its apps, in order.
  func results(in id: UserInputID) -> [ToolResult] { sessions.withLock { $0[id]?.results ?? [] } }

  /// Takes in a result that is about to be stored: whoever asks meanwhile had better know of it.
  /// - Throws: why it can't be taken; it must not reach an app then.
  func take(_ result: ToolResult, in id: UserInputID) throws(RefusalReason) {
    let bytes = result.text.utf8.count
    try sessions.withLock { sessions throws(RefusalReason) in
      guard let session = sessions[id] else { throw .sessionUnknown }
      guard !session.results.contains(where: { $0.id == result.id }) else { throw .tokenSpent }
      let hasRoom = resultBytes.withLock { all in
        guard session.results.count < Self.maximumResults, session.resultBytes + bytes <= Self.maximumResultBytes,
          all + bytes <= Self.maximumResultBytesOfAll
        else { return false }
        all += bytes
        return true
      }
      guard hasRoom else { throw .overloaded }
      sessions[id]?.results.append(result)
      sessions[id]?.resultBytes += bytes
    }
  }

  /// Takes back a result that could not be stored.
  func withdraw(_ result: ToolResult, in id: UserInputID) {
    sessions.withLock { sessions in
      guard let index = sessions[id]?.results.lastIndex(where: { $0.id == result.id }) else { return }
      sessions[id]?.results.remove(at: index)
      sessions[id]?.resultBytes -= result.text.utf8.count
      resultBytes.withLock { $0 -= result.text.utf8.count }
    }
  }

  /// Drops sessions without live tokens. Called now and then.
  func dropEnded() {
    // A margin beyond the last token, for what is under way.
    let now = clock.now() - .seconds(60)
    sessions.withLock { sessions in
      sessions = sessions.filter { $0.value.liveUntil > now }
      let bytes = sessions.values.lazy.map(\.resultBytes).reduce(0, +)
      resultBytes.withLock { $0 = bytes }
    }
  }
}
