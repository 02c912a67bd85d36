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
    let dash = UInt8(ascii: "-")
    return bytes.count == 55 && bytes.starts(with: "00-".utf8) && bytes[35] == dash && bytes[52] == dash
      && isHexNumber(bytes[traceRange]) && isHexNumber(bytes[36..<52]) && bytes[53..<55].allSatisfy(isHexDigit)
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

  /// Whether it is not all zeros either.
  private static func isHexNumber(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
    var differenceFromZeros: UInt8 = 0
    for byte in UnsafeRawBufferPointer(rebasing: bytes) {
      guard isHexDigit(byte) else { return false }
      differenceFromZeros |= byte ^ UInt8(ascii: "0")
    }
    return differenceFromZeros != 0
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 || byte &- 0x61 < 6 }
}
