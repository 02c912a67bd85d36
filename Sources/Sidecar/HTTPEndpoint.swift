/// Where an HTTP server is reached: scheme, host, port and path.
public struct HTTPEndpoint: Sendable, Hashable, CustomStringConvertible {
  public enum Scheme: String, Sendable, Hashable { case http, https }

  public let scheme: Scheme
  public let host: String
  public let port: Int
  /// Begins with a slash; `/` when the URL has none.
  public let path: String

  /// An http or https URL without user, query or fragment; nil for anything else.
  public init?(_ text: String) {
    guard text.utf8.count <= 2048, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
      !text.contains(where: { "@?#\\%".contains($0) })
    else { return nil }
    let rest: Substring
    if text.hasPrefix("http://") {
      (scheme, rest) = (.http, text.dropFirst(7))
    } else if text.hasPrefix("https://") {
      (scheme, rest) = (.https, text.dropFirst(8))
    } else {
      return nil
    }
    let authority = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(authority.count)
    self.path = path.isEmpty ? "/" : String(path)
    let hasPort = authority.hasSuffix("]") ? false : authority.contains(":")
    let address = hasPort ? String(authority) : "\(authority):\(scheme == .http ? 80 : 443)"
    guard case .tcp(let host, let port) = ListenAddress(address) else { return nil }
    self.host = host
    self.port = port
  }

  /// Host and port as the `Host` field has them (RFC 9110 section 7.2).
  public var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (scheme == .http ? 80 : 443) ? name : "\(name):\(port)"
  }

  public var description: String { "\(scheme.rawValue)://\(authority)\(path)" }
}
