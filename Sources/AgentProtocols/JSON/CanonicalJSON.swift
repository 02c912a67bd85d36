public import CASACore

extension JSONValue {
  /// The JSON Canonicalization Scheme's form (RFC 8785): one text for one value, whoever writes it.
  public var canonicalBytes: [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(256)
    writeCanonical(to: &output)
    return output
  }

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
      // RFC 8785 section 3.2.3 sorts by UTF-16 code units, which is not the order of Swift's strings.
      let sorted = members.sorted { $0.key.utf16.lexicographicallyPrecedes($1.key.utf16) }
      for (index, member) in sorted.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &output)
        output.append(UInt8(ascii: ":"))
        member.value.writeCanonical(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ text: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        output.append(UInt8(ascii: "\\"))
        output.append(byte)
      case 0x08: output.append(contentsOf: "\\b".utf8)
      case 0x09: output.append(contentsOf: "\\t".utf8)
      case 0x0A: output.append(contentsOf: "\\n".utf8)
      case 0x0C: output.append(contentsOf: "\\f".utf8)
      case 0x0D: output.append(contentsOf: "\\r".utf8)
      case 0..<0x20:
        output.append(contentsOf: "\\u00".utf8)
        output.append(contentsOf: lowercaseHex([byte]).utf8)
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}

/// Numbers as ECMAScript's `Number::toString` writes them (RFC 8785 section 3.2.2.3).
enum ECMAScriptNumber {
  /// - Parameter value: finite.
  static func text(of value: Double) -> String {
    if value == 0 { return "0" }
    if value.magnitude < 9_007_199_254_740_992, value.rounded(.towardZero) == value { return String(Int64(value)) }
    // Swift gives the same shortest digits; only their layout differs.
    let (digits, exponent) = shortestDigits(of: value.magnitude)
    let count = digits.count
    let sign = value < 0 ? "-" : ""
    func text(_ part: ArraySlice<UInt8>) -> String { String(decoding: part, as: UTF8.self) }
    func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }
    if count <= exponent, exponent <= 21 { return sign + text(digits[...]) + zeros(exponent - count) }
    if 0 < exponent, exponent <= 21 { return sign + text(digits[..<exponent]) + "." + text(digits[exponent...]) }
    if -6 < exponent, exponent <= 0 { return sign + "0." + zeros(-exponent) + text(digits[...]) }
    let power = exponent - 1
    let tail = count > 1 ? "." + text(digits[1...]) : ""
    return sign + text(digits[..<1]) + tail + "e" + (power < 0 ? "-" : "+") + String(power.magnitude)
  }

  /// The significant digits and the n for which the value is 0.DIGITS × 10^n.
  private static func shortestDigits(of value: Double) -> (digits: [UInt8], exponent: Int) {
    let parts = value.description.split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = Array(mantissa[0].utf8)
    let fraction = mantissa.count > 1 ? Array(mantissa[1].utf8) : []
    var digits = whole + fraction
    var exponent = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
    while digits.first == UInt8(ascii: "0"), digits.count > 1 {
      digits.removeFirst()
      exponent -= 1
    }
    while digits.last == UInt8(ascii: "0"), digits.count > 1 { digits.removeLast() }
    return (digits, exponent)
  }
}
