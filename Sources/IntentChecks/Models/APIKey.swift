import Foundation

/// What an endpoint knows its caller by. Neither printing nor reflection shows it.
public struct APIKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  private let text: String

  /// nil for anything but 1 to 4096 printable ASCII characters without spaces, which alone can stand in a header.
  public init?(_ text: String) {
    guard (1...4096).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      return nil
    }
    self.text = text
  }

  /// The key in a file, with white space around it; nil when there is none.
  public init?(file path: String) {
    guard let data = FileManager.default.contents(atPath: path), data.count <= 16_384,
      let text = String(data: data, encoding: .utf8)
    else { return nil }
    self.init(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  /// The value of `Authorization` (RFC 6750 section 2.1).
  var authorization: String { "Bearer " + text }

  public var description: String { "(an API key)" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
