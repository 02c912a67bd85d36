/// An address and a port.
public struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
  public let address: NetworkAddress
  public let port: UInt16

  public init(_ address: NetworkAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// `192.0.2.1:443` or `[2001:db8::1]:443`, with a port from 1 to 65535; nil for anything else.
  public init?(_ text: String) {
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
    var host = text[..<colon]
    let isBracketed = host.utf8.first == UInt8(ascii: "[") && host.utf8.last == UInt8(ascii: "]") && host.utf8.count > 2
    if isBracketed { host = host.dropFirst().dropLast() }
    guard isBracketed == host.utf8.contains(UInt8(ascii: ":")), let address = NetworkAddress(String(host)),
      let ports = PortRange(text[text.utf8.index(after: colon)...]), ports.first == ports.last
    else { return nil }
    self.init(address, port: ports.first)
  }

  public var description: String { address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}
