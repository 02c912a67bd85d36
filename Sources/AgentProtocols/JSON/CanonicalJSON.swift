public import CASACore

extension JSONValue {
  /// The JSON Canonicalization Scheme's form (RFC 8785) in UTF-8: one text for one value, whoever writes it.
  ///
  /// A number that is not finite, which no parser yields, becomes `null` as in ECMAScript.
  public var canonicalBytes: [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(256)
    writeCanonical(to: &output)
    return output
  }

  /// `canonicalBytes` as text.
  public var canonicalText: String { String(decoding: canonicalBytes, as: UTF8.self) }

  private func writeCanonical(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .number(let value): output.append(contentsOf: ECMAScriptNumber.text(of: value).utf8)
    case .string(let value): Self.write(value, to: &output)
    case .array(let elements):
      output.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        element.writeCanonical(to: &output)
      }
      output.append(UInt8(ascii: "]"))
    case .object(let members):
      output.append(UInt8(ascii: "{"))
      let sorted = members.sorted { Self.precedes($0.key, $1.key) }
      for (index, member) in sorted.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &output)
        output.append(UInt8(ascii: ":"))
        member.value.writeCanonical(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  /// The order of RFC 8785 section 3.2.3, by UTF-16 code units. The bytes of UTF-8 give the same order except
  /// that U+E000 to U+FFFF (first byte 0xEE or 0xEF) come after the scalars written with surrogates (from 0xF0).
  private static func precedes(_ a: String, _ b: String) -> Bool {
    var others = b.utf8.makeIterator()
    for byte in a.utf8 {
      guard let other = others.next() else { return false }
      if byte == other { continue }
      if byte >= 0xEE, other >= 0xEE, (byte >= 0xF0) != (other >= 0xF0) { return byte >= 0xF0 }
      return byte < other
    }
    return others.next() != nil
  }

  private static func write(_ text: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { bytes in
      var start = 0
      for (index, byte) in bytes.enumerated()
      where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        output.append(contentsOf: bytes[start..<index])
        writeEscape(of: byte, to: &output)
        start = index + 1
      }
      output.append(contentsOf: bytes[start...])
    }
    output.append(UInt8(ascii: "\""))
  }

  private static func writeEscape(of byte: UInt8, to output: inout [UInt8]) {
    switch byte {
    case 0x08: output.append(contentsOf: "\\b".utf8)
    case 0x09: output.append(contentsOf: "\\t".utf8)
    case 0x0A: output.append(contentsOf: "\\n".utf8)
    case 0x0C: output.append(contentsOf: "\\f".utf8)
    case 0x0D: output.append(contentsOf: "\\r".utf8)
    case 0..<0x20:
      output.append(contentsOf: "\\u00".utf8)
      output.append(contentsOf: lowercaseHex([byte]).utf8)
    default:
      output.append(UInt8(ascii: "\\"))
      output.append(byte)
    }
  }
}
