/// Who a browser reads for.
public protocol BrowserAccess: Sendable {
  /// What the value of the cookie `casa_session` lets its holder read; nil: not signed in.
  func access(cookie: String?) async -> ReadAccess?
  /// The cookie's value for a credential, compared in constant time; nil: a wrong credential.
  func signIn(credential: String) async -> String?
  /// Whether no sign-in is needed, as in local mode on loopback; then `access(cookie: nil)` answers.
  var isOpen: Bool { get }
}
