/// The random key by which an authorization service knows which sidecar asks: at least 32 printable characters.
public struct SidecarKey: Sendable, Hashable {
  public let text: String

  /// - Throws: `ConfigurationError` when the file holds no such key.
  public static func load(path: String) throws(ConfigurationError) -> SidecarKey {
    SidecarKey(text: try SecretFile.read(path, what: "a sidecar's key", minimum: 32))
  }

  public init(text: String) { self.text = text }
}
