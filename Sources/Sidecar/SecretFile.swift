import Foundation

/// A file that holds one secret on one line.
public enum SecretFile {
  /// - Throws: `ConfigurationError` that never holds what the file holds.
  public static func read(_ path: String, what: String, minimum: Int = 8) throws(ConfigurationError) -> String {
    guard let data = FileManager.default.contents(atPath: path), data.count <= 16_384,
      let text = String(data: data, encoding: .utf8)
    else { throw ConfigurationError("\(path) can't be read; expected \(what)") }
    let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard secret.utf8.count >= minimum, secret.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ConfigurationError(
        "\(path) must hold \(what) on one line: at least \(minimum) printable ASCII characters without spaces; "
          + "it has \(secret.utf8.count) bytes")
    }
    return secret
  }
}
