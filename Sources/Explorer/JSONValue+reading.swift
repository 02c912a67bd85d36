internal import AgentProtocols
internal import CASACore

extension JSONValue {
  var number: Double? {
    guard case .number(let value) = self else { return nil }
    return value
  }

  func text(_ name: String) -> String { self[name]?.string ?? "" }
  func count(_ name: String) -> Int { Int(self[name]?.integer ?? 0) }
  func list(_ name: String) -> [JSONValue] { self[name]?.array ?? [] }
  func strings(_ name: String) -> [String] { list(name).compactMap(\.string) }

  /// Over several lines, with the members of an object in order, to be read and compared by people.
  var prettyLines: [String] {
    var lines: [String] = []
    write(into: &lines, indent: "", before: "", after: "")
    return lines
  }

  private func write(into lines: inout [String], indent: String, before: String, after: String) {
    switch self {
    case .array(let values) where !values.isEmpty:
      lines.append(indent + before + "[")
      for (index, value) in values.enumerated() {
        value.write(
          into: &lines, indent: indent + "  ", before: "", after: index == values.count - 1 ? "" : ",")
      }
      lines.append(indent + "]" + after)
    case .object(let members) where !members.isEmpty:
      lines.append(indent + before + "{")
      for (index, name) in members.keys.sorted().enumerated() {
        members[name]?.write(
          into: &lines, indent: indent + "  ", before: JSONValue.string(name).canonicalText + ": ",
          after: index == members.count - 1 ? "" : ",")
      }
      lines.append(indent + "}" + after)
    default: lines.append(indent + before + canonicalText + after)
    }
  }
}
