/// The lowercase hexadecimal SHA-256 of a compact JWT: how tokens are named in traces, logs and caches, where
/// the token itself never appears.
public struct TokenHash: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  /// Takes a digest's 64 lowercase hexadecimal digits; nil for anything else.
  public init?(_ text: String) {
    guard isLowercaseHex(text, count: 64) else { return nil }
    self.text = text
  }

  /// Takes the 32 bytes of a SHA-256 digest.
  public init(digest: some Sequence<UInt8>) { text = lowercaseHex(digest) }

  /// The first 12 digits, for people.
  public var short: Substring { text.prefix(12) }
  public var description: String { text }
}

/// `bytes` as lowercase hexadecimal digits.
@inlinable
public func lowercaseHex(_ bytes: some Sequence<UInt8>) -> String {
  var text: [UInt8] = []
  text.reserveCapacity(64)
  for byte in bytes {
    let (high, low) = (byte >> 4, byte & 15)
    text.append(high < 10 ? UInt8(ascii: "0") + high : UInt8(ascii: "a") + high - 10)
    text.append(low < 10 ? UInt8(ascii: "0") + low : UInt8(ascii: "a") + low - 10)
  }
  return String(decoding: text, as: UTF8.self)
}

func isLowercaseHex(_ text: String, count: Int) -> Bool {
  text.utf8.count == count
    && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
}
