import CNodeGuard

/// All addresses that begin with the same bits.
public struct AddressPrefix: Sendable, Hashable {
  /// With the bits behind the prefix zero.
  public let address: NetworkAddress
  /// How many of the 128 bits count; for IPv4, 96 more than are written.
  public let length: Int

  /// All addresses, IPv4 and IPv6.
  public static let any = AddressPrefix(address: NetworkAddress(bits: 0), length: 0)

  /// One address alone.
  public init(_ address: NetworkAddress) { self.init(address: address, length: 128) }

  private init(address: NetworkAddress, length: Int) {
    self.address = address
    self.length = length
  }

  /// `10.0.0.0/8`, `fd00::/8`, or one address.
  /// - Throws: `PolicyError` that says what to write instead.
  public init(parsing text: String) throws(PolicyError) {
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
    guard !text.utf8.contains(UInt8(ascii: "%")) else {
      throw PolicyError("an address has no zone here, got `\(quoted(text))`; leave out what follows %")
    }
    guard let host = parts.first.flatMap({ String($0) }), let address = NetworkAddress(host) else {
      throw PolicyError("expected an IP address or a prefix such as 10.0.0.0/8, got `\(quoted(text))`")
    }
    let isWrittenAsIPv6 = host.utf8.contains(UInt8(ascii: ":"))
    var length = 128
    if parts.count == 2 {
      let longest = isWrittenAsIPv6 ? 128 : 32
      let digits = parts[1]
      guard (1...3).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
        digits.count == 1 || digits.first != UInt8(ascii: "0"), let written = String(digits).flatMap({ Int($0) }),
        written <= longest
      else { throw PolicyError("expected a length from 0 to \(longest) after the slash, got `\(quoted(text))`") }
      length = isWrittenAsIPv6 ? written : written + 96
    }
    let prefix = AddressPrefix(address: NetworkAddress(bits: address.bits & Self.mask(length)), length: length)
    if isWrittenAsIPv6, prefix.address.isIPv4, length >= 96 {
      throw PolicyError("expected an IPv4 address in its own form, got `\(quoted(text))`; write \(prefix)")
    }
    guard prefix.address == address else {
      throw PolicyError("`\(quoted(text))` has bits behind its prefix; write \(prefix)")
    }
    // The kernel compares IPv4 addresses as the IPv6 addresses that they are mapped to.
    guard !isWrittenAsIPv6 || !prefix.contains(.firstIPv4) else {
      throw PolicyError(
        "`\(quoted(text))` covers the addresses of IPv4 too (::ffff:0:0/96); write `any` when that is meant, else a"
          + " longer prefix such as 2000::/3")
    }
    self = prefix
  }

  static func mask(_ length: Int) -> UInt128 { length == 0 ? 0 : ~0 << UInt128(128 - length) }

  public func contains(_ address: NetworkAddress) -> Bool { address.bits & Self.mask(length) == self.address.bits }

  var kernelMask: casa_address { NetworkAddress(bits: Self.mask(length)).kernelValue }
}

extension AddressPrefix: CustomStringConvertible {
  public var description: String {
    switch length {
    case 0: "any"
    case 128: address.description
    default: "\(address)/\(address.isIPv4 && length >= 96 ? length - 96 : length)"
    }
  }
}

/// Text from outside as an error shows it: printable ASCII, at most 80 characters.
func quoted(_ text: String) -> String {
  let shown = text.utf8.prefix(80).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
  return String(decoding: shown, as: UTF8.self) + (text.utf8.count > 80 ? "..." : "")
}
