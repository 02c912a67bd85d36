/// Text in which nothing is hidden from whoever reads it.
enum VisibleText {
  /// Writes what can't be seen as an escape of JSON: control and format characters, among them those that turn the
  /// direction of writing, tags, fillers and variation selectors. A JSON text keeps its meaning by it, since such
  /// characters stand only within strings, and no two texts become one, since a backslash there is escaped already.
  static func escapingInvisible(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    result.reserveCapacity(text.unicodeScalars.underestimatedCount)
    for scalar in text.unicodeScalars {
      guard isInvisible(scalar) else {
        result.append(scalar)
        continue
      }
      for unit in UTF16.encode(scalar) ?? UTF16.EncodedScalar() {
        let digits = String(unit, radix: 16)
        result.append(contentsOf: "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".unicodeScalars)
      }
    }
    return String(result)
  }

  static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value < 0x20 || scalar.value == 0x7F }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: return true
    // An empty pattern of braille looks like a space and is none.
    default: return scalar.properties.isDefaultIgnorableCodePoint || scalar.value == 0x2800
    }
  }
}

/// A text of bounded length: of a longer one the middle is missing, and a mark stands in its place.
struct BoundedText: Sendable, Hashable {
  let text: String
  /// How many bytes of UTF-8 are missing.
  let leftOut: Int

  /// - Parameter limit: in bytes of UTF-8, without the mark.
  init(_ text: String, limit: Int) {
    let bytes = Array(text.utf8)
    guard bytes.count > limit else {
      (self.text, leftOut) = (text, 0)
      return
    }
    var head = limit / 2
    while head > 0, Self.isContinuation(bytes[head]) { head -= 1 }
    var tail = bytes.count - (limit - limit / 2)
    while tail < bytes.count, Self.isContinuation(bytes[tail]) { tail += 1 }
    leftOut = tail - head
    self.text =
      String(decoding: bytes[..<head], as: UTF8.self) + "[... \(leftOut) bytes left out here ...]"
      + String(decoding: bytes[tail...], as: UTF8.self)
  }

  private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }
}
