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
  init(
    storage: any StorageDriver, algorithm: SigningAlgorithm, tokenLifetime: Duration, clock: WallClock
  ) async throws(StorageError) {
    self.storage = storage
    self.clock = clock
    retention = tokenLifetime + TokenVerifier.clockSkew + .seconds(1)
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
    let current: SigningKey
    if let usable = keys.last(where: { $0.retiredAt == nil }), usable.algorithm == algorithm {
      current = usable
    } else {
      // None yet, or the operator chose another algorithm: then this is a rotation.
      current = .generate(algorithm, at: clock.now())
      try await storage.commit(Self.rotation(to: current, at: clock.now()))
      keys = keys.map { $0.retiredAt == nil ? $0.retired(at: clock.now()) : $0 } + [current]
    }
    state = Mutex(State(current: current, byID: Dictionary(keys.map { ($0.id, $0) }, uniquingKeysWith: { $1 })))
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
      Statement(
        "INSERT INTO signing_keys (kid, algorithm, private_key, created_at) VALUES ($1, $2, $3, $4)",
        [
          .text(key.id.rawValue), .text(key.algorithm.rawValue), .text(key.storedPrivateKey),
          .integer(now.milliseconds),
        ], expectedChanges: 1),
    ]
  }
}
