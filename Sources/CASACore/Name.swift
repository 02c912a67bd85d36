/// The name of a MAS or an app: 1 to 63 characters of `a-z 0-9 -`, beginning and ending with a letter or digit
/// (an RFC 1123 label, so that the same name serves in Kubernetes).
public struct Name: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-"),
      bytes.allSatisfy({ byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
      })
    else { return nil }
    self.text = text
  }

  public var description: String { text }
}

extension Name {
  /// How the trace names the LLM as a destination, where it names apps by their names.
  public static let llm = "llm"

  /// What an app's name must be, for errors.
  public static let expectedOfApp =
    "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit, and not `llm`, which is the LLM's name "
    + "in the trace"

  /// The name of an app, where apps are described and registered; nil for anything else, and for the name by which
  /// the app would be taken for the LLM.
  public init?(app text: String) {
    guard text != Self.llm else { return nil }
    self.init(text)
  }
}
