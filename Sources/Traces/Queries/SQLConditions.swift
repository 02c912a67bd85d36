import CASACore
import Storage

/// Conditions of a query with their values, numbered in the order in which they are added.
struct SQLConditions {
  private var conditions: [String] = []
  private(set) var values: [SQLValue] = []

  /// - Parameter condition: with `?` where the value stands.
  mutating func add(_ condition: String, _ value: SQLValue) {
    values.append(value)
    conditions.append(condition.replacing("?", with: "$\(values.count)"))
  }

  /// One that takes no value.
  mutating func add(_ condition: String) { conditions.append(condition) }

  /// That `column` is one of these systems.
  mutating func add(_ column: String, in systems: Set<MASID>) {
    guard !systems.isEmpty else { return add("1 = 0") }
    let first = values.count + 1
    let list = Statement.padded(systems.map(\.rawValue).sorted().map(SQLValue.text))
    values += list
    conditions.append("\(column) IN (\(list.indices.map { "$\(first + $0)" }.joined(separator: ", ")))")
  }

  var text: String { conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ") }
}
