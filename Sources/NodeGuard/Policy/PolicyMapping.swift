/// The members of one mapping, all of them known.
struct PolicyMapping {
  private let members: [(name: String, value: PolicyValue)]
  private let line: Int?

  /// - Throws: `PolicyError` for anything but a mapping, and for an unknown key.
  init(_ value: PolicyValue, known: [String]) throws(PolicyError) {
    line = value.line
    guard let members = value.members else {
      throw PolicyError("expected a mapping of \(known.joined(separator: ", ")), got \(value.kind)", line: line)
    }
    self.members = members
    for member in members where !known.contains(member.name) {
      let error = PolicyError("this key is not known; known are \(known.joined(separator: ", "))")
      throw error.within(quoted(member.name), line: member.value.line ?? line)
    }
  }

  /// The member `name` as `read` understands it; nil when it is missing.
  /// - Throws: what `read` throws, with its place.
  func optional<Value>(
    _ name: String, _ read: (PolicyValue) throws(PolicyError) -> Value
  ) throws(PolicyError) -> Value? {
    guard let value = members.first(where: { $0.name == name })?.value else { return nil }
    do throws(PolicyError) {
      return try read(value)
    } catch {
      throw error.within(name, line: value.line)
    }
  }

  /// The member `name` as `read` understands it.
  /// - Throws: `PolicyError` when it is missing too.
  func required<Value>(
    _ name: String, _ expected: String, _ read: (PolicyValue) throws(PolicyError) -> Value
  ) throws(PolicyError) -> Value {
    guard let value = try optional(name, read) else {
      throw PolicyError("expected `\(name)` (\(expected)), and it is missing", line: line)
    }
    return value
  }
}
