public enum StorageError: Error, Hashable, CustomStringConvertible {
  /// A statement of the unit changed another number of rows than it had to; the unit left no trace.
  case unexpectedChanges(statement: Int, expected: Int, actual: Int)
  /// A uniqueness or reference constraint refused the unit; it left no trace.
  case conflict
  /// The unit holds what this database doesn't store: for PostgreSQL a text with the character NUL, for any a value
  /// beyond its limits. It left no trace, and will not do any better when it comes again.
  case unstorable
  /// Too many units wait to be committed.
  case overloaded
  /// The database can't be written or read now (disk full, locked, closed).
  case unavailable(String)
  /// What is stored does not have the form that was written.
  case corrupt(String)

  public var description: String {
    switch self {
    case .unexpectedChanges(let statement, let expected, let actual):
      "statement \(statement) of the unit had to change \(expected) rows and changed \(actual)"
    case .conflict: "the record conflicts with one that is stored"
    case .unstorable: "a text with the character U+0000, or a value beyond the database's limits, can't be stored"
    case .overloaded: "too many writes are waiting; try again later"
    case .unavailable(let why): "the database is not available: \(why)"
    case .corrupt(let what): "the database holds something unexpected: \(what)"
    }
  }
}
