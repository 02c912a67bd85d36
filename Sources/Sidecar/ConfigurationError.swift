/// A file that configures a part is not as it must be.
public struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Which file or line, what was expected and what came; never a secret.
  public let description: String

  public init(_ description: String) { self.description = description }
}

extension ConfigurationError {
  public static let differentAddresses = ConfigurationError(
    "the workloads of one authorization service must all name the same `authorization` address")
  public static func notASocket(_ path: String) -> ConfigurationError {
    ConfigurationError("\(path) is there and is not a socket; remove it or choose another `authorization`")
  }
  public static func cannotSetMode(_ path: String, why: String) -> ConfigurationError {
    ConfigurationError("the mode of \(path) can't be set: \(why)")
  }
  public static func socketInUse(_ path: String) -> ConfigurationError {
    ConfigurationError("another authorization service answers on \(path)")
  }
}
