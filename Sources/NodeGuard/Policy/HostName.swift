import CNodeGuard

/// The name of a host, fully qualified, in lower case and without the final dot.
///
/// At least two labels of 1 to 63 letters, digits and hyphens that neither begin nor end with a hyphen (RFC 1123
/// section 2.1), and no IP address.
public struct HostName: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  /// In bytes, of a name on the wire with its final zero: what a key of the kernel's map has room for.
  public static let maximumWireLength = Int(CASA_MAX_NAME) - 2

  /// Takes upper case for lower case.
  /// - Throws: `PolicyError` that says what is wrong with it.
  public init(parsing text: String) throws(PolicyError) {
    let problem = { (why: String) in
      PolicyError("expected a host's full name such as api.example.com, got `\(quoted(text))`: \(why)")
    }
    let bytes = text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    // Each label's length byte, and the final zero: two more than there are characters.
    guard bytes.count + 2 <= Self.maximumWireLength else {
      throw problem("it is longer than \(Self.maximumWireLength - 2) bytes")
    }
    guard bytes.last != UInt8(ascii: ".") else { throw problem("leave out the final dot") }
    let labels = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard labels.count >= 2, let last = labels.last else { throw problem("it has only one label") }
    for label in labels {
      guard (1...63).contains(label.count) else { throw problem("a label has 1 to 63 characters") }
      guard label.allSatisfy(Self.isLabelByte) else { throw problem("a label has letters, digits and hyphens only") }
      guard label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else {
        throw problem("a label neither begins nor ends with a hyphen")
      }
    }
    // Some readers take such a name for an IPv4 address, in decimal or hexadecimal.
    guard !last.allSatisfy({ (0x30...0x39).contains($0) }), !last.starts(with: "0x".utf8) else {
      throw problem("it reads like an IP address")
    }
    self.text = String(decoding: bytes, as: UTF8.self)
  }

  private static func isLabelByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
    default: false
    }
  }

  /// As DNS has it on the wire (RFC 1035 section 3.1), without the final zero.
  var wireForm: [UInt8] {
    text.utf8.split(separator: UInt8(ascii: ".")).flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 }
  }

  public var description: String { text }
}
