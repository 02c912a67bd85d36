/// A named change of the schema. Append new ones; never edit one that has been released.
public struct Migration: Sendable {
  /// One statement of a migration. A string literal is a statement for every database.
  public struct Change: Sendable, ExpressibleByStringInterpolation {
    /// nil where there is nothing to do.
    public let sqlite: String?
    /// nil where there is nothing to do.
    public let postgres: String?

    public init(sqlite: String? = nil, postgres: String? = nil) {
      self.sqlite = sqlite
      self.postgres = postgres
    }

    public init(stringLiteral statement: String) { self.init(sqlite: statement, postgres: statement) }
  }

  public let name: String
  public let changes: [Change]

  /// Stands in a column's definition for a key that the database counts up itself; each driver writes it in its
  /// own words.
  public static let serialKey = "{{SERIAL KEY}}"

  public init(_ name: String, _ changes: [Change]) {
    self.name = name
    self.changes = changes
  }

  /// What to do in SQLite, in its words.
  var sqliteStatements: [String] {
    changes.compactMap { $0.sqlite?.replacing(Self.serialKey, with: "INTEGER PRIMARY KEY AUTOINCREMENT") }
  }

  /// What to do in PostgreSQL, in its words.
  var postgresStatements: [String] {
    changes.compactMap { $0.postgres?.replacing(Self.serialKey, with: "BIGSERIAL PRIMARY KEY") }
  }
}
