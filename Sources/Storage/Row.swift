/// One row of an answer; columns are read by name and type.
public struct Row: Sendable {
  private let columns: [String: Int]
  private let values: [SQLValue]

  init(columns: [String: Int], values: [SQLValue]) {
    self.columns = columns
    self.values = values
  }

  /// - Throws: `StorageError.corrupt` when the column is missing or holds another type.
  public func text(_ column: String) throws(StorageError) -> String {
    guard case .text(let value) = try value(column) else { throw .corrupt("column \(column) is not text") }
    return value
  }

  /// - Throws: `StorageError.corrupt` when the column is missing or holds another type.
  public func integer(_ column: String) throws(StorageError) -> Int64 {
    guard case .integer(let value) = try value(column) else { throw .corrupt("column \(column) is not an integer") }
    return value
  }

  /// - Throws: `StorageError.corrupt` when the column is missing or holds another type.
  public func blob(_ column: String) throws(StorageError) -> [UInt8] {
    guard case .blob(let value) = try value(column) else { throw .corrupt("column \(column) is not a blob") }
    return value
  }

  /// - Throws: `StorageError.corrupt` when the column is missing or holds another type than text or null.
  public func optionalText(_ column: String) throws(StorageError) -> String? {
    if case .null = try value(column) { return nil }
    return try text(column)
  }

  /// - Throws: `StorageError.corrupt` when the column is missing or holds another type than integer or null.
  public func optionalInteger(_ column: String) throws(StorageError) -> Int64? {
    if case .null = try value(column) { return nil }
    return try integer(column)
  }

  /// The first column, where it is text.
  var firstText: String? {
    if case .text(let text)? = values.first { text } else { nil }
  }

  private func value(_ column: String) throws(StorageError) -> SQLValue {
    guard let index = columns[column] else { throw .corrupt("no column \(column) in the answer") }
    return values[index]
  }
}
