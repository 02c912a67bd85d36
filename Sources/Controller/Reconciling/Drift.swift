import CASACore

/// Whether an object of the cluster is as it should be.
enum Drift {
  /// Whether `live` has all that `desired` says. What the API server added, such as defaults and `metadata.uid`, is no
  /// difference; a list that has more elements is one.
  static func isSatisfied(_ desired: JSONValue, by live: JSONValue) -> Bool {
    switch (desired, live) {
    case (.object(let desired), .object(let live)):
      desired.allSatisfy { name, value in
        guard let found = live[name] else { return isEmpty(value) }
        return isSatisfied(value, by: found)
      }
    case (.array(let desired), .array(let live)):
      desired.count == live.count && zip(desired, live).allSatisfy { isSatisfied($0, by: $1) }
    default: desired == live
    }
  }

  /// What the API server may leave out.
  private static func isEmpty(_ value: JSONValue) -> Bool {
    switch value {
    case .null: true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    default: false
    }
  }
}
