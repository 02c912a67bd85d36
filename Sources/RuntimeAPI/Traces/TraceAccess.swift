import AgentProtocols
import HTTPTypes
public import TokenService
public import Traces

/// Who may read traces: by a bearer credential, or by the cookie that the Explorer gives a browser.
public struct TraceAccess: Sendable {
  /// The cookie's name.
  public static let cookieName = "casa_session"
  /// The longest `Cookie` header that is read, in bytes.
  private static let maximumCookieBytes = 8192

  private let authentication: ReaderAuthentication
  /// Whether whoever reaches the runtime by a loopback name may read everything: for one person's own machine.
  public let isOpen: Bool

  public init(authentication: ReaderAuthentication, isOpen: Bool) {
    self.authentication = authentication
    self.isOpen = isOpen
  }

  /// The value of a cookie for a credential; nil when that is none.
  public func cookie(credential: String) -> String? { authentication.cookie(credential: credential) }

  /// - Parameters:
  ///   - cookie: the value of the cookie, where there is one.
  ///   - host: the request's `Host`: a page of another site that is resolved to this machine has its own there.
  public func access(cookie: String?, host: String?) -> ReadAccess? {
    if let cookie, let access = authentication.access(cookie: cookie) { return access }
    guard isOpen, let host, Self.isLoopback(host) else { return nil }
    return ReadAccess(name: "this machine", systems: nil, readsPrompts: true)
  }

  func access(_ headers: HTTPFields, host: String?) throws(Refused) -> ReadAccess {
    if let authorization = try headers.authorization() {
      guard let bearer = BearerCredentials(headerValue: authorization),
        let access = authentication.access(credential: bearer.token)
      else {
        var refusal = Self.refusal
        refusal.headers[.wwwAuthenticate] = "Bearer realm=\"casa\", error=\"invalid_token\""
        throw Refused(refusal)
      }
      return access
    }
    // A browser sends cookies along with what other sites ask for; such a request is refused, whatever it would read.
    if let site = headers[.secFetchSite], !["same-origin", "none"].contains(site) { throw Refused(Self.refusal) }
    guard let access = access(cookie: try Self.cookie(headers), host: host) else { throw Refused(Self.refusal) }
    return access
  }

  /// The one cookie of ours; nil when there is none.
  /// - Throws: `Refused` when it was sent twice: two readers could take different ones.
  static func cookie(_ headers: HTTPFields) throws(Refused) -> String? {
    var found: [Substring] = []
    for field in headers[values: .cookie] {
      guard field.utf8.count <= maximumCookieBytes else { throw Refused(.badRequest, "`Cookie` is too long") }
      for pair in field.split(separator: ";") {
        let trimmed = pair.drop { $0 == " " }
        if trimmed.hasPrefix(cookieName + "=") { found.append(trimmed.dropFirst(cookieName.count + 1)) }
      }
    }
    guard found.count <= 1 else { throw Refused(.badRequest, "the cookie \(cookieName) was sent \(found.count) times") }
    return found.first.map(String.init)
  }

  private static let refusal = Answer(
    problem: .unauthorized,
    "this needs `Authorization: Bearer` with the administrator's credential or a reader's, or a browser that is signed in"
  )

  static func isLoopback(_ host: String) -> Bool {
    var name = host[...]
    if name.hasPrefix("[") {
      guard let end = name.firstIndex(of: "]") else { return false }
      return name[...end] == "[::1]"
    }
    if let colon = name.firstIndex(of: ":") { name = name[..<colon] }
    return name == "127.0.0.1" || name.lowercased() == "localhost"
  }
}

extension HTTPField.Name {
  static let secFetchSite = HTTPField.Name("sec-fetch-site")!  // swift-format-ignore: a literal of token characters
}
