import Storage

extension Statement {
  /// A statement takes at most so many rows.
  private static let maximumRows = 64

  /// Statements that insert `rows` into `table`, many rows at a time: for a database most of the work of a row is its
  /// statement. Their numbers of rows are powers of two, so that few different statements are prepared.
  /// - Parameter resolution: what follows `ON CONFLICT`; where it updates, no two rows may be the same one.
  static func insertions(
    into table: String, _ columns: String, _ rows: [[SQLValue]], onConflict resolution: String
  ) -> [Statement] {
    var statements: [Statement] = []
    var rest = rows[...]
    var count = maximumRows
    while let width = rest.first?.count {
      while count > rest.count { count /= 2 }
      let places = (0..<count).map { row in
        "(" + (1...max(1, width)).map { "$\(row * width + $0)" }.joined(separator: ", ") + ")"
      }
      let sql =
        "INSERT INTO \(table) (\(columns)) VALUES \(places.joined(separator: ", ")) ON CONFLICT \(resolution)"
      while rest.count >= count {
        statements.append(Statement(sql, rest.prefix(count).flatMap(\.self)))
        rest = rest.dropFirst(count)
      }
    }
    return statements
  }

  /// So many parameters for a list, in steps, so that few different statements are prepared.
  static func parameters(_ count: Int) -> String {
    (1...max(1, paddedCount(count))).map { "$\($0)" }.joined(separator: ", ")
  }

  /// The values for these parameters; the last is repeated, which changes nothing in a list.
  static func padded(_ values: [SQLValue]) -> [SQLValue] {
    values + Array(repeating: values.last ?? .null, count: max(1, paddedCount(values.count)) - values.count)
  }

  private static func paddedCount(_ count: Int) -> Int {
    var padded = 1
    while padded < count { padded *= 2 }
    return padded
  }
}
