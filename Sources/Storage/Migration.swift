/// A named change of the schema. Append new ones; never edit one that has been released.
public struct Migration: Sendable {
  public let name: String
  public let statements: [String]

  public init(_ name: String, _ statements: [String]) {
    self.name = name
    self.statements = statements
  }
}
