import AgentProtocols
import CASACore
import Crypto
public import Storage
public import Traces

/// Finds out who wants to read traces: the administrator or a reader, by credential or by the cookie that a browser got
/// for one.
///
/// A cookie names its owner and its end and is signed, so nothing is kept of it: any runtime on the same database takes
/// it, and it ends with its owner's credential.
public struct ReaderAuthentication: Sendable {
  /// How long a browser stays signed in.
  public static let cookieLifetime = Duration.seconds(8 * 3600)
  private static let administrator = "admin"

  private let admin: AdminCredential
  private let registry: Registry
  private let clock: WallClock
  private let key: SymmetricKey

  /// Loads the key that signs cookies, or makes it.
  public init(
    storage: any StorageDriver, admin: AdminCredential, server: AuthorizationServer
  ) async throws(StorageError) {
    self.admin = admin
    registry = server.registry
    clock = server.clock
    let stored = Statement("SELECT value FROM settings WHERE name = 'browser_session_key'")
    if try await storage.query(stored).isEmpty {
      try await storage.commit([
        Statement(
          "INSERT INTO settings (name, value) VALUES ('browser_session_key', $1) ON CONFLICT DO NOTHING",
          [.text(Base64URL.encode(randomBytes(32)))])
      ])
    }
    guard let row = try await storage.query(stored).first,
      let bytes = Base64URL.decode(try row.text("value")), bytes.count == 32
    else { throw .corrupt("the key of browsers' sessions can't be read") }
    key = SymmetricKey(data: bytes)
  }

  /// - Parameter credential: the administrator's, or a reader's as `Reader.credential` has it.
  public func access(credential: String) -> ReadAccess? { owner(of: credential)?.access }

  /// The value of a cookie that stands for `credential`; nil when that is none.
  public func cookie(credential: String) -> String? {
    guard let owner = owner(of: credential) else { return nil }
    let end = (clock.now() + Self.cookieLifetime).seconds
    let claim = "\(owner.name).\(end)"
    return claim + "." + Base64URL.encode(Array(mac(claim, owner.fingerprint)))
  }

  /// Whom a cookie stands for; nil when it has ended or was not made here.
  public func access(cookie: String) -> ReadAccess? {
    let parts = cookie.split(separator: ".", omittingEmptySubsequences: false)
    guard cookie.utf8.count <= 512, parts.count == 3, let end = Int64(parts[1]), end > clock.now().seconds,
      let sent = Base64URL.decode(String(parts[2])), let owner = owner(named: String(parts[0])),
      HMAC<SHA256>.isValidAuthenticationCode(sent, authenticating: claimBytes(parts, owner.fingerprint), using: key)
    else { return nil }
    return owner.access
  }

  private struct Owner {
    let name: String
    /// Changes with the owner's credential.
    let fingerprint: String
    let access: ReadAccess
  }

  private func owner(named name: String) -> Owner? {
    guard name != Self.administrator else {
      return Owner(
        name: name, fingerprint: admin.fingerprint,
        access: ReadAccess(name: "administrator", systems: nil, readsPrompts: true))
    }
    guard let reader = registry.reader(ReaderID(name)) else { return nil }
    return Owner(name: name, fingerprint: reader.secret.hash, access: reader.access)
  }

  private func owner(of credential: String) -> Owner? {
    guard credential.utf8.count <= 512 else { return nil }
    if admin.matches(credential) { return owner(named: Self.administrator) }
    guard let mark = credential.lastIndex(of: ".") else { return nil }
    let id = String(credential[..<mark])
    guard let reader = registry.reader(ReaderID(id)),
      reader.secret.matches(String(credential[credential.index(after: mark)...]))
    else { return nil }
    return owner(named: id)
  }

  private func mac(_ claim: String, _ fingerprint: String) -> HMAC<SHA256>.MAC {
    HMAC<SHA256>.authenticationCode(for: Array((claim + "." + fingerprint).utf8), using: key)
  }

  private func claimBytes(_ parts: [Substring], _ fingerprint: String) -> [UInt8] {
    Array("\(parts[0]).\(parts[1]).\(fingerprint)".utf8)
  }
}
