/// Numbers as ECMAScript's `Number::toString` writes them (RFC 8785 section 3.2.2.3).
enum ECMAScriptNumber {
  static func text(of value: Double) -> String {
    guard value.isFinite else { return "null" }
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
