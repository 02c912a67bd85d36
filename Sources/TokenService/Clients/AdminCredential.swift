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

  /// Takes the credential that the operator gives, and forgets the one before.
  /// - Parameter text: 32 to 512 characters, of which the operator says that nobody can guess them.
  /// - Throws: `StorageError`
  public init(storage: any StorageDriver, given text: String) async throws(StorageError) {
    // Kept as it is where it is the same: several runtimes share it, and what is signed with its fingerprint.
    if let stored = try await Self.stored(in: storage), stored.matches(text) {
      hashed = stored
      return
    }
    let hashed = ClientSecret(text: text).hashed()
    try await storage.commit([
      Statement(
        """
        INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """, [.text("admin_secret"), .text(hashed.salt + ":" + hashed.hash)], expectedChanges: 1)
    ])
    // Of several runtimes that start at the same moment the last one's salt stays.
    self.hashed = try await Self.stored(in: storage) ?? hashed
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
