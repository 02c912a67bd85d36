import AgentProtocols
import CASACore
import Yams

/// A value of a policy's file, as YAML or JSON has it.
enum PolicyValue {
  case yaml(Node)
  case json(JSONValue)

  /// Of the whole file.
  /// - Throws: `PolicyError` for what is neither. A file whose first character is `{` is JSON: that is read several times
  ///   as fast, and strictly.
  init(parsing bytes: [UInt8], limits: JSONLimits) throws(PolicyError) {
    if bytes.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{") {
      do {
        self = .json(try JSONValue(parsing: bytes, limits: limits))
      } catch {
        let line = bytes.prefix(error.offset).reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) }
        throw PolicyError("it begins with { and is not JSON: \(error)", line: line)
      }
      return
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw PolicyError("it is not UTF-8") }
    do {
      guard let root = try Yams.compose(yaml: text) else {
        throw PolicyError("it is empty; expected `workloads` and more")
      }
      self = .yaml(root)
    } catch let error as PolicyError {
      throw error
    } catch {
      throw PolicyError("it is not YAML: \(error)")
    }
  }

  /// nil where it is not known.
  var line: Int? {
    switch self {
    case .yaml(let node): node.mark?.line
    case .json: nil
    }
  }

  /// What came, for errors.
  var kind: String {
    switch self {
    case .yaml(.scalar(let scalar)): "`\(quoted(scalar.string))`"
    case .json(.string(let text)): "`\(quoted(text))`"
    case .yaml(.mapping), .json(.object): "a mapping"
    case .yaml(.sequence), .json(.array): "a list"
    case .yaml(.alias): "an alias"
    case .json(.null): "null"
    case .json(.bool(let value)): "`\(value)`"
    case .json(.number(let value)): "`\(value)`"
    }
  }

  /// A scalar's text, whether it was quoted or not.
  var text: String? {
    switch self {
    case .yaml(let node): node.scalar?.string
    case .json(.string(let text)): text
    case .json(.bool(let value)): String(value)
    case .json(let value): value.integer.map { String($0) }
    }
  }

  /// nil for anything but a list.
  var elements: [PolicyValue]? {
    switch self {
    case .yaml(let node): node.sequence.map { $0.map { .yaml($0) } }
    case .json(let value): value.array.map { $0.map { .json($0) } }
    }
  }

  /// nil for anything but a mapping. A key that is no text has the name `?`.
  var members: [(name: String, value: PolicyValue)]? {
    switch self {
    case .yaml(let node): node.mapping.map { $0.map { ($0.key.string ?? "?", .yaml($0.value)) } }
    case .json(let value): value.object.map { $0.map { ($0.key, .json($0.value)) } }
    }
  }

  /// The scalar as `read` understands it.
  /// - Throws: `PolicyError`
  func scalar<Value>(_ expected: String, _ read: (String) -> Value?) throws(PolicyError) -> Value {
    guard let value = text.flatMap(read) else { throw PolicyError("expected \(expected), got \(kind)", line: line) }
    return value
  }

  /// The scalar as `parse` understands it.
  /// - Throws: `PolicyError`
  func parsed<Value>(
    _ expected: String, _ parse: (String) throws(PolicyError) -> Value
  ) throws(PolicyError) -> Value {
    guard let text else { throw PolicyError("expected \(expected), got \(kind)", line: line) }
    return try parse(text)
  }

  /// Each element of a list of at most `limit`.
  /// - Throws: `PolicyError`
  func list<Element>(
    limit: Int, _ read: (PolicyValue, Int) throws(PolicyError) -> Element
  ) throws(PolicyError) -> [Element] {
    guard let elements else { throw PolicyError("expected a list, got \(kind)", line: line) }
    guard elements.count <= limit else {
      throw PolicyError("expected at most \(limit) elements, got \(elements.count)", line: line)
    }
    var values: [Element] = []
    values.reserveCapacity(elements.count)
    for (index, element) in elements.enumerated() {
      do throws(PolicyError) {
        values.append(try read(element, index))
      } catch {
        throw error.within("[\(index)]", line: element.line)
      }
    }
    return values
  }
}
