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

  /// One that has conditions of its own, `AND`ed to `opening`; none when there are none.
  mutating func add(_ opening: String, closedBy closing: String, _ inner: (inout SQLConditions) -> Void) {
    let count = conditions.count
    inner(&self)
    let added = conditions[count...]
    guard !added.isEmpty else { return }
    conditions.replaceSubrange(count..., with: [([opening] + added).joined(separator: " AND ") + closing])
  }

  var text: String { conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ") }
}
