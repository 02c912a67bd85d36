import CASACore
import SeededRandom

extension SeededGenerator {
  /// Any value that the parser can yield, at most `depth` levels deep.
  mutating func json(depth: Int) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &self) {
    case 0: .null
    case 1: .bool(Bool.random(using: &self))
    case 2: .number(Double(Int64.random(in: -9_007_199_254_740_991...9_007_199_254_740_991, using: &self)))
    case 3: .number(fraction())
    case 4: .string(text())
    case 5: .array((0..<Int.random(in: 0..<5, using: &self)).map { _ in json(depth: depth - 1) })
    default:
      .object(
        Dictionary(
          (0..<Int.random(in: 0..<5, using: &self)).map { _ in (text(), json(depth: depth - 1)) },
          uniquingKeysWith: { $1 }))
    }
  }

  /// Any finite double that is not a whole number beyond ±(2^53 − 1); those are written without exponent.
  mutating func fraction() -> Double {
    while true {
      let value = Double(bitPattern: next())
      guard value.isFinite else { continue }
      let magnitude = value.magnitude
      if magnitude < 9_007_199_254_740_992 || magnitude >= 1e21 { return value == 0 ? 0 : value }
    }
  }

  mutating func text() -> String {
    var text = ""
    for _ in 0..<Int.random(in: 0..<8, using: &self) {
      let range: ClosedRange<UInt32> =
        switch Int.random(in: 0..<4, using: &self) {
        case 0: 0x01...0x1F
        case 1: 0x20...0x7F
        case 2: 0x80...0xFFFF
        default: 0x10000...0x10FFFF
        }
      if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &self)) { text.unicodeScalars.append(scalar) }
    }
    return text
  }
}
