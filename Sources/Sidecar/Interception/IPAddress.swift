#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Which of the two internet protocols.
public enum IPFamily: String, Sendable, Hashable, CaseIterable { case ipv4, ipv6 }

/// An IP address in its one canonical form.
public struct IPAddress: Sendable, Hashable, CustomStringConvertible {
  public let family: IPFamily
  public let description: String

  /// An IPv4 or IPv6 address, without a zone; nil for anything else.
  public init?(_ text: String) {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    var v4 = in_addr()
    var v6 = in6_addr()
    if inet_pton(AF_INET, text, &v4) == 1 {
      family = .ipv4
      guard inet_ntop(AF_INET, &v4, &buffer, socklen_t(buffer.count)) != nil else { return nil }
    } else if inet_pton(AF_INET6, text, &v6) == 1 {
      family = .ipv6
      guard inet_ntop(AF_INET6, &v6, &buffer, socklen_t(buffer.count)) != nil else { return nil }
    } else {
      return nil
    }
    description = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The name servers of a `resolv.conf` (resolv.conf(5)), as they stand there, without zones. What is no address is
  /// left out, as resolvers do.
  public static func nameServers(resolverConfiguration text: String) -> [IPAddress] {
    var found: [IPAddress] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard words.count >= 2, words[0] == "nameserver" else { continue }
      guard let address = IPAddress(String(words[1].prefix { $0 != "%" })), !found.contains(address) else { continue }
      found.append(address)
    }
    return found
  }
}
