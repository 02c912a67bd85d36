/// The 64 letters of one kind of base64 and the way back (RFC 4648).
struct Base64Alphabet: Sendable {
  private let letters: [UInt8]
  /// By letter; 0xFF for a byte that is none.
  private let values: [UInt8]

  static let standard = Base64Alphabet(lastLetters: "+/")
  static let url = Base64Alphabet(lastLetters: "-_")

  private init(lastLetters: String) {
    letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8) + Array(lastLetters.utf8)
    var values = [UInt8](repeating: 0xFF, count: 256)
    for (value, letter) in letters.enumerated() { values[Int(letter)] = UInt8(value) }
    self.values = values
  }

  /// `bytes` without padding.
  func encode(_ bytes: [UInt8]) -> String {
    let length = (bytes.count * 4 + 2) / 3
    return String(unsafeUninitializedCapacity: length) { text in
      var position = 0
      func put(_ value: UInt32) {
        text.initializeElement(at: position, to: letters[Int(value & 63)])
        position += 1
      }
      var index = 0
      while index + 2 < bytes.count {
        let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
        put(group >> 18)
        put(group >> 12)
        put(group >> 6)
        put(group)
        index += 3
      }
      switch bytes.count - index {
      case 1:
        put(UInt32(bytes[index]) >> 2)
        put(UInt32(bytes[index]) << 4)
      case 2:
        let pair = UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        put(pair >> 10)
        put(pair >> 4)
        put(pair << 2)
      default: break
      }
      return position
    }
  }

  /// Reads letters without padding; nil for any other byte, for an impossible length and when bits that belong to
  /// no byte are not zero, since then two texts would stand for the same bytes.
  func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 4 * 3 + 2)
    var accumulator: UInt32 = 0
    var bits: UInt32 = 0
    for letter in text {
      let value = values[Int(letter)]
      guard value != 0xFF else { return nil }
      accumulator = accumulator << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: accumulator >> bits))
      }
    }
    let leftOver: UInt32 = (1 << bits) - 1
    guard accumulator & leftOver == 0 else { return nil }
    return bytes
  }
}
