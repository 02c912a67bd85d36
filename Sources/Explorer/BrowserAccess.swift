public import Traces

/// Who a browser reads for.
public protocol BrowserAccess: Sendable {
  /// What a browser may read; nil: not signed in.
  /// - Parameters:
  ///   - cookie: the value of the cookie `casa_session`, where there is one.
  ///   - host: the request's `Host`: a page of another site that is resolved to this machine has its own there.
  func access(cookie: String?, host: String?) async -> ReadAccess?
  /// The cookie's value for a credential, compared in constant time; nil: a wrong credential.
  func signIn(credential: String) async -> String?
  /// Whether no sign-in is needed, as in local mode on loopback; then `access(cookie: nil, host:)` answers for
  /// loopback names.
  var isOpen: Bool { get }
}
