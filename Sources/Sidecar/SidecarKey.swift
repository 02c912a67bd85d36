import Foundation

/// The random key by which an authorization service knows which sidecar asks: at least 32 printable characters.
public struct SidecarKey: Sendable, Hashable {
  public let text: String

  /// - Throws: `ConfigurationError` when the file holds no such key.
  public static func load(path: String) throws(ConfigurationError) -> SidecarKey {
    SidecarKey(text: try SecretFile.read(path, what: "a sidecar's key of at least 32 characters", minimum: 32))
  }

  public init(text: String) { self.text = text }
}

/// A file that holds one secret on one line.
public enum SecretFile {
  /// - Throws: `ConfigurationError` that never holds what the file holds.
  public static func read(_ path: String, what: String, minimum: Int = 8) throws(ConfigurationError) -> String {
    guard let data = FileManager.default.contents(atPath: path), data.count <= 16_384,
      let text = String(data: data, encoding: .utf8)
    else { throw ConfigurationError("\(path) can't be read; expected \(what)") }
    let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard secret.utf8.count >= minimum, secret.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ConfigurationError("\(path) does not hold \(what)")
    }
    return secret
  }

  /// Writes a file anew that its owner alone can read.
  /// - Throws: `ConfigurationError`
  public static func write(_ text: String, to path: String) throws(ConfigurationError) {
    try? FileManager.default.removeItem(atPath: path)
    guard
      FileManager.default.createFile(atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
    else { throw .cannotWrite(path) }
  }
}
