import CASACore

/// The members of one object of Kubernetes, read strictly: a member of another type than Kubernetes gives it is refused
/// rather than taken for missing. `null` is as good as missing, as it is for Kubernetes.
struct Fields {
  let members: [String: JSONValue]
  /// Where the object stands, for errors.
  let path: String

  /// - Throws: `AdmissionRefusal` unless `value` is an object.
  init(_ value: JSONValue, at path: String) throws(AdmissionRefusal) {
    guard let members = value.object else { throw AdmissionRefusal(malformed: path, expected: "an object") }
    self.members = members
    self.path = path
  }

  private init(empty path: String) {
    members = [:]
    self.path = path
  }

  subscript(name: String) -> JSONValue? {
    guard let value = members[name], value != .null else { return nil }
    return value
  }

  func place(_ name: String) -> String { path.isEmpty ? name : path + "." + name }

  func string(_ name: String) throws(AdmissionRefusal) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.string else { throw AdmissionRefusal(malformed: place(name), expected: "a string") }
    return text
  }

  func bool(_ name: String) throws(AdmissionRefusal) -> Bool? {
    guard let value = self[name] else { return nil }
    guard let bool = value.bool else { throw AdmissionRefusal(malformed: place(name), expected: "true or false") }
    return bool
  }

  func integer(_ name: String) throws(AdmissionRefusal) -> Int64? {
    guard let value = self[name] else { return nil }
    guard let number = value.integer else { throw AdmissionRefusal(malformed: place(name), expected: "a whole number") }
    return number
  }

  /// The object `name`; nil when it is missing.
  func optionalFields(_ name: String) throws(AdmissionRefusal) -> Fields? {
    guard let value = self[name] else { return nil }
    return try Fields(value, at: place(name))
  }

  /// The object `name`; an empty one when it is missing.
  func fields(_ name: String) throws(AdmissionRefusal) -> Fields {
    try optionalFields(name) ?? Fields(empty: place(name))
  }

  func array(_ name: String) throws(AdmissionRefusal) -> [JSONValue] {
    guard let value = self[name] else { return [] }
    guard let elements = value.array else { throw AdmissionRefusal(malformed: place(name), expected: "a list") }
    return elements
  }

  /// The list of objects `name`; empty when it is missing.
  func list(_ name: String) throws(AdmissionRefusal) -> [Fields] {
    var found: [Fields] = []
    for (index, element) in try array(name).enumerated() {
      found.append(try Fields(element, at: "\(place(name))[\(index)]"))
    }
    return found
  }

  func strings(_ name: String) throws(AdmissionRefusal) -> [String] {
    var found: [String] = []
    for element in try array(name) {
      guard let text = element.string else { throw AdmissionRefusal(malformed: place(name), expected: "of strings") }
      found.append(text)
    }
    return found
  }

  /// Labels or annotations; empty when they are missing.
  func texts(_ name: String) throws(AdmissionRefusal) -> [String: String] {
    var found: [String: String] = [:]
    for (key, value) in try fields(name).members {
      guard let text = value.string else { throw AdmissionRefusal(malformed: place(name), expected: "of strings") }
      found[key] = text
    }
    return found
  }
}

extension JSONValue {
  /// This object with one member set, or taken out when `value` is nil. What is no object becomes one.
  func setting(_ name: String, to value: JSONValue?) -> JSONValue {
    var members = object ?? [:]
    members[name] = value
    return .object(members)
  }
}
