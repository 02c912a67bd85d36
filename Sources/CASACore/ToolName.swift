/// The name of an MCP tool: 1 to 128 characters of `A-Z a-z 0-9 _ - . /`.
///
/// Confusable letters, zero-width characters and spaces are not representable, so a look-alike of an approved
/// name is refused where it is parsed and never compared.
public struct ToolName: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let text: String

  public init?(_ text: String) {
    guard (1...128).contains(text.utf8.count),
      text.utf8.allSatisfy({ isNameByte($0) || $0 == UInt8(ascii: "/") })
    else { return nil }
    self.text = text
  }

  public var description: String { text }
  public static func < (a: Self, b: Self) -> Bool { a.text < b.text }
}
