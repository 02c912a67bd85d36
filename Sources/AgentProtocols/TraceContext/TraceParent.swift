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
    // By its bytes, since every request has one.
    let bytes = headerValue.utf8
    guard bytes.count == 55, bytes.starts(with: "00-".utf8) else { return nil }
    let trace = bytes.index(bytes.startIndex, offsetBy: 3)
    let traceEnd = bytes.index(trace, offsetBy: 32)
    let parent = bytes.index(after: traceEnd)
    let parentEnd = bytes.index(parent, offsetBy: 16)
    let dash = UInt8(ascii: "-")
    guard bytes[traceEnd] == dash, bytes[parentEnd] == dash, Self.isHex(bytes[trace..<traceEnd]),
      Self.isHex(bytes[parent..<parentEnd]), bytes[parent..<parentEnd].contains(where: { $0 != UInt8(ascii: "0") }),
      Self.isHex(bytes[parentEnd...].dropFirst()), let traceID = TraceID(String(headerValue[trace..<traceEnd]))
    else { return nil }
    self.traceID = traceID
    parentID = String(headerValue[parent..<parentEnd])
    flags = String(headerValue[bytes.index(after: parentEnd)...])
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

  private static func isHex(_ bytes: Substring.UTF8View) -> Bool {
    bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
