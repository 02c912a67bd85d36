public import CASACore
import Storage
import Synchronization

/// The runtime's key set: one key signs, and retired ones verify until their last token is gone.
public final class SigningKeys: Sendable {
  private struct State {
    var current: SigningKey
    var byID: [SigningKeyID: SigningKey]
  }

  private let state: Mutex<State>
  private let storage: any StorageDriver
  private let clock: WallClock
  /// Two at once could leave a key signing that the storage calls retired.
  private let rotations = SerialQueue()
  /// How long after its retirement a key still verifies.
  private let retention: Duration

  /// Loads the stored keys, and makes the first one of `algorithm` when there is none.
  /// - Parameter event: what is recorded in the trace when a new key takes the place of one of another algorithm.
  init(
    storage: any StorageDriver, algorithm: SigningAlgorithm, tokenLifetime: Duration, clock: WallClock,
    recording event: @Sendable (SigningKey) -> Statement
  ) async throws(StorageError) {
    self.storage = storage
    self.clock = clock
    retention = tokenLifetime + TokenVerifier.clockSkew + .seconds(1)
    let stored = try await Self.load(from: storage)
    if let usable = stored.current, usable.algorithm == algorithm {
      state = Mutex(State(current: usable, byID: stored.byID))
      return
    }
    let made = SigningKey.generate(algorithm, at: clock.now())
    do throws(StorageError) {
      if stored.current == nil {
        try await storage.commit([made.insertion(where: "NOT EXISTS (SELECT 1 FROM signing_keys)")])
      } else {
        // The operator chose another algorithm: this is a rotation.
        try await storage.commit(Self.rotation(to: made, at: clock.now()) + [event(made)])
      }
    } catch .unexpectedChanges {
      // Another runtime has just made the first.
    }
    let after = try await Self.load(from: storage)
    guard let current = after.current else { throw .corrupt("there is no signing key") }
    state = Mutex(State(current: current, byID: after.byID))
  }

  /// Takes in what is stored, as others may have changed it.
  func reload() async throws(StorageError) {
    try await rotations.run { [self] () async throws(StorageError) in
      let stored = try await Self.load(from: storage)
      guard let current = stored.current else { throw .corrupt("there is no signing key") }
      state.withLock { $0 = State(current: current, byID: stored.byID) }
    }
  }

  private static func load(
    from storage: any StorageDriver
  ) async throws(StorageError) -> (current: SigningKey?, byID: [SigningKeyID: SigningKey]) {
    var keys: [SigningKey] = []
    for row in try await storage.query(Statement("SELECT * FROM signing_keys ORDER BY created_at")) {
      guard
        let key = SigningKey(
          id: SigningKeyID(try row.text("kid")), algorithm: try row.text("algorithm"),
          privateKey: try row.text("private_key"), createdAt: Timestamp(milliseconds: try row.integer("created_at")),
          retiredAt: try row.optionalInteger("retired_at").map { Timestamp(milliseconds: $0) })
      else { throw .corrupt("a signing key can't be read") }
      keys.append(key)
    }
    return (keys.last { $0.retiredAt == nil }, Dictionary(keys.map { ($0.id, $0) }, uniquingKeysWith: { $1 }))
  }

  var current: SigningKey { state.withLock { $0.current } }

  /// The key of this id if tokens it signed may still be alive.
  func verifyingKey(_ id: SigningKeyID) -> VerifyingKey? {
    guard let key = state.withLock({ $0.byID[id] }), isUsable(key) else { return nil }
    return key.verifyingKey
  }

  /// The public keys, the signing one first (RFC 7517 section 5).
  public var jwks: JSONValue {
    let (current, all) = state.withLock { ($0.current, Array($0.byID.values)) }
    let retired = all.filter { $0.id != current.id && isUsable($0) }.sorted { $0.createdAt > $1.createdAt }
    return ["keys": .array(([current] + retired).map(\.jwk))]
  }

  /// Makes a new key the signing one; the one before verifies until its tokens are gone.
  /// - Parameter event: what is recorded in the trace with it.
  func rotate(recording event: @Sendable (SigningKey) -> Statement) async throws(StorageError) -> SigningKey {
    try await rotations.run { () async throws(StorageError) in
      let key = SigningKey.generate(current.algorithm, at: clock.now())
      let now = clock.now()
      try await storage.commit(Self.rotation(to: key, at: now) + [event(key)])
      state.withLock { state in
        for (id, other) in state.byID where other.retiredAt == nil { state.byID[id] = other.retired(at: now) }
        state.byID = state.byID.filter { isUsable($0.value) }
        state.byID[key.id] = key
        state.current = key
      }
      return key
    }
  }

  private func isUsable(_ key: SigningKey) -> Bool {
    guard let retiredAt = key.retiredAt else { return true }
    return clock.now() < retiredAt + retention
  }

  private static func rotation(to key: SigningKey, at now: Timestamp) -> [Statement] {
    [
      Statement(
        "UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL", [.integer(now.milliseconds)]),
      key.insertion(where: "1 = 1"),
    ]
  }
}

extension SigningKey {
  fileprivate func insertion(where condition: String) -> Statement {
    Statement(
      """
      INSERT INTO signing_keys (kid, algorithm, private_key, created_at) SELECT $1, $2, $3, $4 WHERE \(condition)
      """,
      [
        .text(id.rawValue), .text(algorithm.rawValue), .text(storedPrivateKey), .integer(createdAt.milliseconds),
      ], expectedChanges: 1)
  }
}
