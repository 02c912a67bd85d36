public import CASACore

/// A W3C `traceparent` of version 00. Other versions count as absent: nothing is known of their form.
public struct TraceParent: Sendable, Hashable {
  public let traceID: TraceID
  /// 16 lowercase hexadecimal digits, not all zero.
  public let parentID: String
  /// Two lowercase hexadecimal digits.
  public let flags: String

  public init?(_ headerValue: String) {
    let parts = headerValue.split(separator: "-", omittingEmptySubsequences: false)
    guard headerValue.utf8.count == 55, parts.count == 4, parts[0] == "00", let traceID = TraceID(String(parts[1])),
      Self.isHex(parts[2], count: 16), parts[2].utf8.contains(where: { $0 != UInt8(ascii: "0") }),
      Self.isHex(parts[3], count: 2)
    else { return nil }
    self.traceID = traceID
    parentID = String(parts[2])
    flags = String(parts[3])
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

  private static func isHex(_ text: Substring, count: Int) -> Bool {
    text.utf8.count == count && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
