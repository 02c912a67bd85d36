import CASACore
public import Storage

/// The administrator's secret, of which only a hash is stored.
public struct AdminCredential: Sendable {
  private let hashed: HashedSecret

  /// Loads the credential, or makes it at the very first start.
  /// - Parameter keep: gets the new secret, to put it where the administrator finds it, before its hash is stored:
  ///   a crash in between makes another one, never one that nobody knows.
  public init(
    storage: any StorageDriver, keep: @Sendable (ClientSecret) throws(StorageError) -> Void
  ) async throws(StorageError) {
    if let stored = try await Self.stored(in: storage) {
      hashed = stored
      return
    }
    let secret = ClientSecret.generate()
    hashed = secret.hashed()
    try keep(secret)
    do throws(StorageError) {
      try await storage.commit([
        Statement(
          "INSERT INTO settings (name, value) VALUES ($1, $2)",
          [.text("admin_secret"), .text(hashed.salt + ":" + hashed.hash)], expectedChanges: 1)
      ])
    } catch .conflict {
      throw .unavailable(
        "another runtime made the administrator's credential at the same moment; use the one in its data directory, "
          + "remove this one's, and start again")
    }
  }

  private static func stored(in storage: any StorageDriver) async throws(StorageError) -> HashedSecret? {
    let rows = try await storage.query(Statement("SELECT value FROM settings WHERE name = $1", [.text("admin_secret")]))
    guard let row = rows.first else { return nil }
    let parts = try row.text("value").split(separator: ":")
    guard parts.count == 2 else { throw .corrupt("the admin credential can't be read") }
    return HashedSecret(salt: String(parts[0]), hash: String(parts[1]))
  }

  /// Changes with the secret, and tells nothing of it.
  var fingerprint: String { hashed.hash }

  /// Compares in constant time.
  public func matches(_ candidate: String) -> Bool { hashed.matches(candidate) }
}
