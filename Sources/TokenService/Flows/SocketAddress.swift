#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An IP address and a port, as one end of a connection.
public struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
  /// Without brackets.
  public let address: String
  public let port: UInt16

  /// Reads `192.0.2.1:443` or `[2001:db8::1]:443`; nil for anything else, names among it.
  public init?(_ text: String) {
    guard text.utf8.count <= 53, let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    // Swift reads a sign too.
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = UInt16(digits)
    else { return nil }
    let host = text[..<colon]
    var bytes = in6_addr()
    if host.hasPrefix("["), host.hasSuffix("]") {
      let inner = String(host.dropFirst().dropLast())
      guard inet_pton(AF_INET6, inner, &bytes) == 1 else { return nil }
      address = inner
    } else {
      guard inet_pton(AF_INET, String(host), &bytes) == 1 else { return nil }
      address = String(host)
    }
    self.port = port
  }

  public var description: String {
    address.utf8.contains(UInt8(ascii: ":")) ? "[\(address)]:\(port)" : "\(address):\(port)"
  }
}
