/// What declared a MAS outside the runtime, in words of its own: at most one MAS has it, so that whoever declares finds
/// again what it made, whatever happened in between.
public struct ExternalOwner: Sendable, Hashable {
  public let text: String

  /// 1 to 512 printable ASCII characters without spaces; nil for anything else.
  public init?(_ text: String) {
    guard (1...512).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
    self.text = text
  }
}
