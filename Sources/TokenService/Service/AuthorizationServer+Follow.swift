import CASACore
public import Logging
import Storage
import Synchronization
import Traces

/// What other runtimes on the same database change. Every change of the registry, every new signing key and every
/// revocation is a trace event of the same unit, and events become visible in the order of their numbers: whoever reads
/// on from the last one misses none.
extension AuthorizationServer {
  /// How often others' changes are looked for.
  private static let interval = Duration.milliseconds(200)
  /// What was not compared with the database for longer is not decided on.
  private static let maximumAge = Duration.seconds(5)
  /// More events than this are not looked at one by one.
  private static let maximumBacklog: Int64 = 50_000
  private static let registryKinds: Set<TraceEvent.Kind> = [.configurationChanged, .toolsDiscovered, .toolsApproved]

  /// How far others' changes are known.
  struct Following {
    /// The number of the last trace event that was looked at.
    var sequence: Int64
    /// When there was last nothing that was not known; nil while nobody follows.
    var caughtUpAt: ContinuousClock.Instant?
  }

  /// Whether what is in memory may be decided on: nobody else changes the database, or all that others changed is known
  /// but for the last moments.
  public var isCurrent: Bool {
    guard storage.isShared, let caughtUpAt = following.withLock({ $0.caughtUpAt }) else { return true }
    return ContinuousClock.now - caughtUpAt < Self.maximumAge
  }

  /// Takes in others' changes until the task is cancelled. Returns at once when the storage is nobody else's.
  public func follow(logger: Logger) async {
    guard storage.isShared else { return }
    following.withLock { $0.caughtUpAt = .now }
    var isFailing = false
    while !Task.isCancelled {
      do {
        try await catchUp()
        if isFailing { logger.notice("others' changes can be read again") }
        isFailing = false
      } catch {
        if !isFailing { logger.error("others' changes can't be read", metadata: ["error": "\(error)"]) }
        isFailing = true
      }
      do { try await Task.sleep(for: Self.interval) } catch { return }
    }
  }

  /// Takes in what others changed up to now.
  func catchUp() async throws(StorageError) {
    let began = ContinuousClock.now
    let known = following.withLock { $0.sequence }
    let last = try await Self.lastSequence(in: storage)
    if last - known > Self.maximumBacklog {
      try await reloadAll()
    } else if last > known {
      try await takeIn(after: known, upTo: last)
    }
    following.withLock { following in
      following.sequence = max(following.sequence, last)
      if following.caughtUpAt != nil { following.caughtUpAt = began }
    }
  }

  private func takeIn(after known: Int64, upTo last: Int64) async throws(StorageError) {
    let kinds = Self.registryKinds.union([.signingKeyRotated, .tokenRevoked]).map(\.rawValue).sorted()
    let list = kinds.indices.map { "$\($0 + 3)" }.joined(separator: ", ")
    let rows = try await storage.query(
      Statement(
        """
        SELECT DISTINCT kind, mas_id, user_input_id FROM trace_events
        WHERE sequence > $1 AND sequence <= $2 AND kind IN (\(list))
        """, [.integer(known), .integer(last)] + kinds.map(SQLValue.text)))
    var seen: Set<TraceEvent.Kind> = []
    var revocations: [(mas: MASID, session: UserInputID?)] = []
    for row in rows {
      guard let kind = TraceEvent.Kind(rawValue: try row.text("kind")) else { continue }
      seen.insert(kind)
      if kind == .tokenRevoked, let mas = try row.optionalText("mas_id") {
        revocations.append((MASID(mas), try row.optionalText("user_input_id").map { UserInputID($0) }))
      }
    }
    if !seen.isDisjoint(with: Self.registryKinds) { try await registry.reload() }
    if seen.contains(.signingKeyRotated) { try await keys.reload() }
    if !revocations.isEmpty, try await reloadRevoked() {
      for (mas, session) in revocations { self.revocations.publish(session, of: mas) }
    }
  }

  /// Takes in all that is stored, when too much was missed to look at each change.
  private func reloadAll() async throws(StorageError) {
    try await registry.reload()
    try await keys.reload()
    _ = try await reloadRevoked()
    for mas in registry.systems() { revocations.publish(nil, of: mas.id) }
  }

  static func lastSequence(in storage: any StorageDriver) async throws(StorageError) -> Int64 {
    try await storage.query(Statement("SELECT MAX(sequence) AS last FROM trace_events")).first?
      .optionalInteger("last") ?? 0
  }

  /// - Returns: whether some were not known to be revoked.
  private func reloadRevoked() async throws(StorageError) -> Bool {
    let dead = try await Self.revokedTokens(in: storage, at: clock.now())
    return revoked.withLock { revoked in
      let before = revoked.count
      revoked.merge(dead) { $1 }
      return revoked.count > before
    }
  }

  /// The revoked tokens that have not expired.
  static func revokedTokens(
    in storage: any StorageDriver, at now: Timestamp
  ) async throws(StorageError) -> [TokenID: Timestamp] {
    var dead: [TokenID: Timestamp] = [:]
    for row in try await storage.query(
      Statement(
        "SELECT jti, expires_at FROM tokens WHERE revoked_at IS NOT NULL AND expires_at > $1",
        [.integer(now.milliseconds)]))
    {
      dead[TokenID(try row.text("jti"))] = Timestamp(milliseconds: try row.integer("expires_at"))
    }
    return dead
  }

  /// Whether a token was revoked by whichever runtime.
  func isRevokedInStorage(_ verified: VerifiedToken) async throws(OAuthError) -> Bool {
    guard storage.isShared else { return false }
    do throws(StorageError) {
      let rows = try await storage.query(
        Statement(
          "SELECT 1 AS revoked FROM tokens WHERE jti = $1 AND revoked_at IS NOT NULL",
          [.text(verified.claims.id.rawValue)]))
      return !rows.isEmpty
    } catch {
      throw Self.storageFailure
    }
  }

  /// Sees to it that a session that another runtime began is known here.
  func takeUpSession(of verified: VerifiedToken) async throws(OAuthError) {
    guard storage.isShared, let session = verified.claims.userInputID else { return }
    let known: UserInput?
    do {
      known = try await sessions.resume(session, liveUntil: verified.claims.expiresAt)
    } catch {
      throw Self.storageFailure
    }
    guard known != nil else {
      throw OAuthError(.temporarilyUnavailable, "too many sessions are live; try again later", reason: .overloaded)
    }
  }

  /// Sees to it that what is known of a session is what was stored before, by whichever runtime.
  func refresh(_ session: UserInputID) async throws(OAuthError) {
    guard storage.isShared else { return }
    do throws(StorageError) {
      try await sessions.refresh(session)
    } catch {
      throw Self.storageFailure
    }
  }
}
