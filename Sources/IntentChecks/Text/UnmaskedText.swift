import Foundation

/// A text as a model reads it, whatever keeps word lists from reading it: letters that look like others, that can't be
/// seen, or that stand for themselves in another form.
///
/// Only what speaks against a call is looked for in it. What speaks for one, such as that the user named an address, is
/// looked for in the text as it stands: there a letter that looks like another makes another address.
enum UnmaskedText {
  static func text(_ text: String) -> String {
    guard !text.utf8.allSatisfy(isPlain) else { return text }
    var seen = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { if let scalar = visible(scalar) { seen.append(scalar) } }
    var words = String.UnicodeScalarView()
    var word: [Unicode.Scalar] = []
    func end() {
      words.append(contentsOf: unmixed(word))
      word.removeAll(keepingCapacity: true)
    }
    for scalar in String(seen).decomposedStringWithCompatibilityMapping.unicodeScalars
    where !("\u{300}"..."\u{36F}").contains(scalar) {
      if scalar.properties.isAlphabetic {
        word.append(scalar)
      } else {
        end()
        words.append(scalar)
      }
    }
    end()
    return String(words)
  }

  /// What the text holds in another encoding: base64, and characters written as `%50` or `&#80;`.
  static func decoded(in text: String) -> [String] {
    var found: [String] = []
    let utf8 = text.utf8
    if utf8.contains(UInt8(ascii: "%")), let decoded = unescaped(text, at: "%", percent) { found.append(decoded) }
    if utf8.contains(UInt8(ascii: "&")), let decoded = unescaped(text, at: "&", reference) { found.append(decoded) }
    for token in text.split(whereSeparator: { !isBase64($0) }) where token.utf8.count >= minimumEncoded {
      if let decoded = base64(token) { found.append(decoded) }
    }
    return found
  }

  private static func isPlain(_ byte: UInt8) -> Bool { (0x20..<0x7F).contains(byte) || (0x09...0x0A).contains(byte) }

  // MARK: Letters

  /// nil for what can't be seen.
  private static func visible(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    switch scalar.value {
    case 0x09, 0x0A: return scalar
    case 0x0B...0x0D, 0x85, 0x2028, 0x2029: return "\n"
    // Tags, which nobody sees and models read.
    case 0xE0020...0xE007E: return Unicode.Scalar(scalar.value - 0xE0000)
    // Letters of flags, and letters in filled circles and squares.
    case 0x1F1E6...0x1F1FF: return letter(scalar.value - 0x1F1E6)
    case 0x1F150...0x1F169: return letter(scalar.value - 0x1F150)
    case 0x1F170...0x1F189: return letter(scalar.value - 0x1F170)
    default: return VisibleText.isInvisible(scalar) ? nil : scalar
    }
  }

  private static func letter(_ index: UInt32) -> Unicode.Scalar? { Unicode.Scalar(0x61 + index) }

  /// A word in one script: letters that look like Latin ones are those, where others are or no letter is anything else.
  private static func unmixed(_ word: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard word.contains(where: { !$0.isASCII }),
      word.contains(where: \.isASCII) || word.allSatisfy({ lookAlikes[$0] != nil })
    else { return word }
    return word.map { lookAlikes[$0] ?? $0 }
  }

  private static let lookAlikes: [Unicode.Scalar: Unicode.Scalar] = {
    let pairs: [(others: String, latin: String)] = [
      // Cyrillic
      ("авеѕіјкмнорстухһԁԛԝӏьгп", "abesijkmhopctyxhdqwlbrn"), ("АВЕЅІЈКМНОРСТУХԚԜЬ", "ABESIJKMHOPCTYXQWB"),
      // Greek
      ("αβγεηικνορτυχω", "abyenikvoptuxw"), ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
      // Armenian
      ("օսհոցզ", "ouhngq"),
      // Small capitals and other letters of phonetic writing
      ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢıɑɡ", "abcdefghijklmnoprstuvwyziag"),
    ]
    var table: [Unicode.Scalar: Unicode.Scalar] = [:]
    for (others, latin) in pairs {
      for (other, letter) in zip(others.unicodeScalars, latin.unicodeScalars) { table[other] = letter }
    }
    return table
  }()

  // MARK: Encodings

  /// Shorter than an order.
  private static let minimumEncoded = 16
  /// Fewer escapes are those of an address, or a sign that is always escaped.
  private static let minimumEscapes = 3

  /// - Parameter read: reads one escape from behind its mark: what it stands for, and how many bytes it takes.
  private static func unescaped(
    _ text: String, at mark: Character, _ read: (ArraySlice<UInt8>) -> (value: UInt32, length: Int)?
  ) -> String? {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var count = 0
    var index = 0
    while index < bytes.count {
      if bytes[index] == mark.asciiValue, let (value, length) = read(bytes[(index + 1)...].prefix(10)) {
        count += 1
        if mark == "%" {
          result.append(UInt8(truncatingIfNeeded: value))
        } else if let scalar = Unicode.Scalar(value) {
          result += Array(String(Character(scalar)).utf8)
        }
        index += 1 + length
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return count >= minimumEscapes ? String(decoding: result, as: UTF8.self) : nil
  }

  private static func percent(_ rest: ArraySlice<UInt8>) -> (value: UInt32, length: Int)? {
    let digits = String(decoding: rest.prefix(2), as: UTF8.self)
    guard digits.utf8.count == 2, digits.allSatisfy(\.isHexDigit) else { return nil }
    return UInt32(digits, radix: 16).map { ($0, 2) }
  }

  /// `#80;` or `#x50;`.
  private static func reference(_ rest: ArraySlice<UInt8>) -> (value: UInt32, length: Int)? {
    guard rest.first == UInt8(ascii: "#"), let end = rest.firstIndex(of: UInt8(ascii: ";")) else { return nil }
    let text = String(decoding: rest[rest.startIndex + 1..<end], as: UTF8.self)
    let isHexadecimal = text.first == "x" || text.first == "X"
    let value = isHexadecimal ? UInt32(text.dropFirst(), radix: 16) : UInt32(text)
    return value.map { ($0, end + 1 - rest.startIndex) }
  }

  private static func isBase64(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "+/-_=".contains(character))
  }

  /// Text of several words; nil for anything else.
  private static func base64(_ token: Substring) -> String? {
    let plain = token.prefix { $0 != "=" }.replacing("-", with: "+").replacing("_", with: "/")
    let padding = String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
    guard let data = Data(base64Encoded: plain + padding), let text = String(bytes: data, encoding: .utf8),
      text.unicodeScalars.allSatisfy({ $0 == "\n" || !VisibleText.isInvisible($0) }), Words.split(text).count >= 2
    else { return nil }
    return text
  }
}
