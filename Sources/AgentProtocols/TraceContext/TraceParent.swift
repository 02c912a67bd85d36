public import CASACore

/// A W3C `traceparent` of version 00. Other versions count as absent: nothing is known of their form.
public struct TraceParent: Sendable, Hashable {
  public let traceID: TraceID
  /// 16 lowercase hexadecimal digits, not all zero.
  public let parentID: String
  /// Two lowercase hexadecimal digits.
  public let flags: String

  /// Reads version 00 (W3C Trace Context section 3.2.2); nil for anything else.
  public init?(_ headerValue: String) {
    guard headerValue.utf8.count == 55 else { return nil }
    let bytes = Array(headerValue.utf8)
    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
    guard bytes.withUnsafeBytes(Self.isWellFormed), let traceID = TraceID(text(Self.traceRange)) else { return nil }
    self.traceID = traceID
    parentID = text(36..<52)
    flags = text(53..<55)
  }

  /// Where the trace stands in a header's value.
  public static let traceRange = 3..<35

  /// Whether a header's value is one that this type reads; by its bytes, since every request has one.
  public static func isWellFormed(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count == 55, bytes[0] == zero, bytes[1] == zero, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
      isHexDigit(bytes[53]), isHexDigit(bytes[54])
    else { return false }
    func digits(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
    let (trace, parent) = ((digits(3), digits(11), digits(19), digits(27)), (digits(36), digits(44)))
    return areHexDigits(trace.0) && areHexDigits(trace.1) && areHexDigits(trace.2) && areHexDigits(trace.3)
      && areHexDigits(parent.0) && areHexDigits(parent.1)
      // A digit or letter other than 0 has more bits than 0 has.
      && trace.0 | trace.1 | trace.2 | trace.3 != zeros && parent.0 | parent.1 != zeros
  }

  private init(traceID: TraceID, parentID: String, flags: String) {
    self.traceID = traceID
    self.parentID = parentID
    self.flags = flags
  }

  /// A new parent within a trace.
  public static func random(traceID: TraceID) -> TraceParent {
    TraceParent(traceID: traceID, parentID: String(TraceID.random().text.prefix(16)), flags: "01")
  }

  public var text: String { "00-\(traceID)-\(parentID)-\(flags)" }

  private static let zero = UInt8(ascii: "0")
  private static let dash = UInt8(ascii: "-")

  private static let zeros = 0x0101_0101_0101_0101 * UInt64(zero)

  /// Eight characters at once, since every request has 48 of them.
  private static func areHexDigits(_ characters: UInt64) -> Bool {
    let (ones, high): (UInt64, UInt64) = (0x0101_0101_0101_0101, 0x8080_8080_8080_8080)
    /// The high bits of those that are at least `character`; right for ASCII.
    func reach(_ character: Unicode.Scalar) -> UInt64 {
      ((characters | high) &- ones &* UInt64(character.value)) & high
    }
    // The characters behind 9 and f.
    let areDigits = reach("0") & ~reach(":")
    let areLetters = reach("a") & ~reach("g")
    return characters & high == 0 && areDigits | areLetters == high
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 || byte &- 0x61 < 6 }
}
