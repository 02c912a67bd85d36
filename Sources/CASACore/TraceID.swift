/// A W3C trace id: 32 lowercase hexadecimal digits, not all zero. It says which session a call belongs to; it
/// is never a credential.
public struct TraceID: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  public init?(_ text: String) {
    guard isLowercaseHex(text, count: 32), text.utf8.contains(where: { $0 != UInt8(ascii: "0") }) else { return nil }
    self.text = text
  }

  public static func random() -> TraceID {
    var generator = SystemRandomNumberGenerator()
    var bytes: [UInt8] = []
    for _ in 0..<16 { bytes.append(generator.next()) }
    bytes[0] |= 1  // never all zero
    return TraceID(unchecked: lowercaseHex(bytes))
  }

  private init(unchecked text: String) { self.text = text }
  public var description: String { text }
}
