/// One SQL statement with its arguments, in the dialect both drivers understand.
///
/// Parameters are written `$1`, `$2`, … and must first appear in that order.
public struct Statement: Sendable {
  public let sql: String
  public let arguments: [SQLValue]
  /// How many rows the statement must change; any other count undoes its whole unit.
  public let expectedChanges: Int?

  public init(_ sql: String, _ arguments: [SQLValue] = [], expectedChanges: Int? = nil) {
    self.sql = sql
    self.arguments = arguments
    self.expectedChanges = expectedChanges
  }
}
