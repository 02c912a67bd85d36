import CASACore

/// The members of one object of a custom resource, all of them known; an error names the path.
struct ResourceFields {
  private let members: [String: JSONValue]
  let path: String

  /// - Throws: `ResourceError` for anything but an object and for a member that is not known. The API server drops such
  ///   members, but a file still has them, and what is misspelt must not be taken for permission.
  init(_ value: JSONValue?, at path: String, known: Set<String>) throws(ResourceError) {
    guard let members = value?.object else {
      throw ResourceError(path, expected: "an object", got: value.map(Self.kind))
    }
    if let unknown = members.keys.sorted().first(where: { !known.contains($0) }) {
      throw ResourceError(
        path, expected: "only members among \(known.sorted().joined(separator: ", "))", got: unknown)
    }
    // What is null is left out, as the API server sees it.
    self.members = members.filter { $0.value != .null }
    self.path = path
  }

  func has(_ name: String) -> Bool { members[name] != nil }

  subscript(name: String) -> JSONValue? { members[name] }

  func path(of name: String) -> String { "\(path).\(name)" }

  /// The text `name` as `read` understands it; nil when it is missing.
  func optional<Value>(
    _ name: String, _ expected: String, _ read: (String) -> Value?
  ) throws(ResourceError) -> Value? {
    guard let value = members[name] else { return nil }
    guard let text = value.string else {
      throw ResourceError(path(of: name), expected: expected, got: Self.kind(value))
    }
    guard let read = read(text) else { throw ResourceError(path(of: name), expected: expected, got: text) }
    return read
  }

  func required<Value>(
    _ name: String, _ expected: String, _ read: (String) -> Value?
  ) throws(ResourceError) -> Value {
    guard let value = try optional(name, expected, read) else {
      throw ResourceError(path(of: name), expected: expected)
    }
    return value
  }

  func flag(_ name: String) throws(ResourceError) -> Bool? {
    guard let value = members[name] else { return nil }
    guard let flag = value.bool else {
      throw ResourceError(path(of: name), expected: "true or false", got: Self.kind(value))
    }
    return flag
  }

  /// A port, 1 to 65535.
  func port(_ name: String) throws(ResourceError) -> Int? {
    guard let value = members[name] else { return nil }
    guard let number = value.integer, (1...65535).contains(number) else {
      throw ResourceError(
        path(of: name), expected: "a port from 1 to 65535",
        got: value.integer.map(String.init) ?? value.string ?? Self.kind(value))
    }
    return Int(number)
  }

  /// The elements of the list `name`, each with its path; empty when it is missing.
  func list(_ name: String, atMost maximum: Int) throws(ResourceError) -> [(path: String, value: JSONValue)] {
    guard let value = members[name] else { return [] }
    guard let elements = value.array, elements.count <= maximum else {
      throw ResourceError(
        path(of: name), expected: "a list of at most \(maximum)",
        got: value.array.map { "\($0.count) elements" } ?? Self.kind(value))
    }
    return elements.enumerated().map { ("\(path(of: name))[\($0.offset)]", $0.element) }
  }

  /// The texts of the list `name` as `read` understands them, each once.
  func texts<Value: Hashable>(
    _ name: String, atMost maximum: Int, _ expected: String, _ read: (String) -> Value?
  ) throws(ResourceError) -> [Value] {
    var values: [Value] = []
    for (path, element) in try list(name, atMost: maximum) {
      guard let value = element.string.flatMap(read) else {
        throw ResourceError(path, expected: expected, got: element.string ?? Self.kind(element))
      }
      if !values.contains(value) { values.append(value) }
    }
    return values
  }

  static func kind(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a text"
    case .array: "a list"
    case .object: "an object"
    }
  }
}
