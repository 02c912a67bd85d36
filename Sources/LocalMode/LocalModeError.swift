/// Something on this machine did not do what the local system needs.
public struct LocalModeError: Error, Sendable, CustomStringConvertible {
  /// What was expected, what came and where to look; never a secret.
  public let description: String

  public init(_ description: String) { self.description = description }
}
