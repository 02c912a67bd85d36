/// The lowercase hexadecimal SHA-256 of a compact JWT: how tokens are named in traces, logs and caches, where
/// the token itself never appears.
public struct TokenHash: Sendable, Hashable, CustomStringConvertible {
  /// The digest, in words whose first byte is the highest: no allocation, for those that are kept by the thousand.
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// Takes a digest's 64 lowercase hexadecimal digits; nil for anything else.
  public init?(_ text: String) {
    guard isLowercaseHex(text, count: 64), let words = hexWords(text, count: 4) else { return nil }
    self.words = (words[0], words[1], words[2], words[3])
  }

  /// Takes the 32 bytes of a SHA-256 digest.
  public init(digest: some Sequence<UInt8>) {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    for (index, byte) in digest.enumerated() {
      switch index / 8 {
      case 0: words.0 = words.0 << 8 | UInt64(byte)
      case 1: words.1 = words.1 << 8 | UInt64(byte)
      case 2: words.2 = words.2 << 8 | UInt64(byte)
      default: words.3 = words.3 << 8 | UInt64(byte)
      }
    }
    self.words = words
  }

  public var text: String { hexText([words.0, words.1, words.2, words.3]) }
  /// The first 12 digits, for people.
  public var short: Substring { text.prefix(12) }
  public var description: String { text }

  public static func == (a: Self, b: Self) -> Bool { a.words == b.words }

  public func hash(into hasher: inout Hasher) {
    // Of a digest every part is as good as the whole.
    hasher.combine(words.0)
    hasher.combine(words.1)
  }
}

/// Reads 16 digits a word; nil when there are not that many.
func hexWords(_ text: String, count: Int) -> [UInt64]? {
  let digits = Array(text.utf8)
  guard digits.count == count * 16 else { return nil }
  return (0..<count).map { word in
    digits[(word * 16)..<(word * 16 + 16)].reduce(0) { value, digit in
      value << 4 | UInt64(digit <= UInt8(ascii: "9") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10)
    }
  }
}

/// Words as 16 digits each.
func hexText(_ words: [UInt64]) -> String {
  lowercaseHex(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } })
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
