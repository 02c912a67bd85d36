/// A named change of the schema. Append new ones; never edit one that has been released.
public struct Migration: Sendable {
  public let name: String
  public let statements: [String]

  /// Stands in a column's definition for a key that the database counts up itself; each driver writes it in its
  /// own words.
  public static let serialKey = "{{SERIAL KEY}}"

  public init(_ name: String, _ statements: [String]) {
    self.name = name
    self.statements = statements
  }
}
