import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An IPv6 address, or an IPv4 address as it is mapped into IPv6 (RFC 4291 section 2.5.5.2): one kind of value, so that
/// an IPv4-mapped destination is the IPv4 destination, as in the kernel.
public struct NetworkAddress: Sendable, Hashable {
  /// The 128 bits, the first of the address the highest.
  public let bits: UInt128

  public init(bits: UInt128) { self.bits = bits }

  /// `::ffff:0.0.0.0`, the first of the IPv4 addresses.
  static let firstIPv4 = NetworkAddress(bits: 0xFFFF << 32)

  public var isIPv4: Bool { bits >> 32 == 0xFFFF }

  /// An address in decimal dots (no leading zeros) or in a form of RFC 4291 section 2.2, IPv4-mapped ones among them;
  /// nil for anything else, and with a zone or a port.
  public init?(_ text: String) {
    if let v4 = Self.ipv4(text.utf8) {
      bits = Self.firstIPv4.bits | UInt128(v4)
      return
    }
    // C ends a text at its first zero.
    guard text.utf8.count < Int(INET6_ADDRSTRLEN), text.utf8.contains(UInt8(ascii: ":")), !text.utf8.contains(0) else {
      return nil
    }
    var address = in6_addr()
    guard inet_pton(AF_INET6, text, &address) == 1 else { return nil }
    bits = withUnsafeBytes(of: &address) { $0.reduce(0) { $0 << 8 | UInt128($1) } }
  }

  private static func ipv4(_ text: String.UTF8View) -> UInt32? {
    guard (7...15).contains(text.count) else { return nil }
    var (address, part, digits, parts): (UInt32, UInt32, Int, Int) = (0, 0, 0, 1)
    for byte in text {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        guard digits == 0 || part > 0 else { return nil }
        part = part * 10 + UInt32(byte - UInt8(ascii: "0"))
        digits += 1
        guard part <= 255 else { return nil }
      case UInt8(ascii: "."):
        guard digits > 0, parts < 4 else { return nil }
        address = address << 8 | part
        (part, digits, parts) = (0, 0, parts + 1)
      default: return nil
      }
    }
    return digits > 0 && parts == 4 ? address << 8 | part : nil
  }
}

extension NetworkAddress: CustomStringConvertible {
  /// Decimal dots for IPv4, and the form of RFC 5952 for IPv6.
  public var description: String {
    if isIPv4 { return (0..<4).map { String(UInt8(truncatingIfNeeded: bits >> (24 - 8 * $0))) }.joined(separator: ".") }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> (112 - 16 * $0)) }
    // The longest run of zeros, the first of equal ones, and none of a single group (section 4.2).
    var longest = 0..<0
    var start = 0
    while start < 8 {
      let end = groups[start...].firstIndex { $0 != 0 } ?? 8
      if end - start > max(longest.count, 1) { longest = start..<end }
      start = max(end, start + 1)
    }
    func text(_ groups: ArraySlice<UInt16>) -> String {
      groups.map { String($0, radix: 16) }.joined(separator: ":")
    }
    return longest.isEmpty
      ? text(groups[...]) : text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
  }
}

extension NetworkAddress {
  init(_ address: casa_address) {
    bits = withUnsafeBytes(of: address) { $0.reduce(0) { $0 << 8 | UInt128($1) } }
  }

  var kernelValue: casa_address {
    withUnsafeBytes(of: bits.bigEndian) { $0.loadUnaligned(as: casa_address.self) }
  }
}
