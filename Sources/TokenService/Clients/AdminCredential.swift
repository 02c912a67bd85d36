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
    let rows = try await storage.query(Statement("SELECT value FROM settings WHERE name = $1", [.text("admin_secret")]))
    if let row = rows.first {
      let parts = try row.text("value").split(separator: ":")
      guard parts.count == 2 else { throw .corrupt("the admin credential can't be read") }
      hashed = HashedSecret(salt: String(parts[0]), hash: String(parts[1]))
      return
    }
    let secret = ClientSecret.generate()
    hashed = secret.hashed()
    try keep(secret)
    try await storage.commit([
      Statement(
        "INSERT INTO settings (name, value) VALUES ($1, $2)",
        [.text("admin_secret"), .text(hashed.salt + ":" + hashed.hash)], expectedChanges: 1)
    ])
  }

  /// Changes with the secret, and tells nothing of it.
  var fingerprint: String { hashed.hash }

  /// Compares in constant time.
  public func matches(_ candidate: String) -> Bool { hashed.matches(candidate) }
}
