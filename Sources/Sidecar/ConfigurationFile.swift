import Foundation

/// A file that configures a part.
public enum ConfigurationFile {
  private static let maximumBytes = 65_536

  /// Reads `path` and hands its text to `parse`, with the folder that relative paths in it are relative to.
  /// - Throws: `ConfigurationError` that begins with the file's path.
  public static func load<Value>(
    path: String, _ parse: (_ text: String, _ directory: String) throws(ConfigurationError) -> Value
  ) throws(ConfigurationError) -> Value {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ConfigurationError("\(path) can't be read; expected a YAML file that this user may read")
    }
    guard data.count <= maximumBytes, let text = String(data: data, encoding: .utf8) else {
      throw ConfigurationError("\(path) must be UTF-8 of at most \(maximumBytes) bytes")
    }
    do {
      return try parse(text, URL(fileURLWithPath: path).deletingLastPathComponent().path)
    } catch {
      throw ConfigurationError("\(path): \(error)")
    }
  }
}
