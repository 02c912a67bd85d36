/// The network namespace could not be brought to intercept.
public struct InterceptionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was expected and what came.
  public let description: String

  public init(_ description: String) { self.description = description }
}
