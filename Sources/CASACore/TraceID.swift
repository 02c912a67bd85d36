/// A W3C trace id: 32 lowercase hexadecimal digits, not all zero. It says which session a call belongs to; it
/// is never a credential.
public struct TraceID: Sendable, Hashable, CustomStringConvertible {
  private let high: UInt64
  private let low: UInt64

  public init?(_ text: String) {
    guard isLowercaseHex(text, count: 32), let words = hexWords(text, count: 2), words[0] | words[1] != 0 else {
      return nil
    }
    (high, low) = (words[0], words[1])
  }

  public static func random() -> TraceID {
    var generator = SystemRandomNumberGenerator()
    // Never all zero.
    return TraceID(high: generator.next() | 1, low: generator.next())
  }

  private init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public var text: String { hexText([high, low]) }
  public var description: String { text }
}
