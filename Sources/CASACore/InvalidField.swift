/// A member of a request or of settings that does not have the form it must have.
public struct InvalidField: Error, Sendable, Hashable, CustomStringConvertible {
  public let field: String
  public let expected: String

  public init(_ field: String, expected: String) {
    self.field = field
    self.expected = expected
  }

  public var description: String { "`\(field)` must be \(expected)" }
}
