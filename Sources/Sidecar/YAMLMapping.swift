public import Yams

/// The members of one YAML mapping, all of them known; an error names the line and the key.
public struct YAMLMapping {
  private var nodes: [String: Node] = [:]
  private let line: Int

  /// - Parameters:
  ///   - what: what the mapping is, for errors.
  ///   - known: the keys it may have.
  /// - Throws: `ConfigurationError` for anything but a mapping, for an unknown key and for one that is given twice.
  public init(_ node: Node, of what: String, known: Set<String>) throws(ConfigurationError) {
    guard let mapping = node.mapping else { throw ConfigurationError("line \(node.line): \(what) must be a mapping") }
    line = node.line
    for (key, value) in mapping {
      guard let name = key.string, known.contains(name) else {
        throw ConfigurationError(
          "line \(key.line): \(what) has no `\(key.string ?? "?")`; known are \(known.sorted().joined(separator: ", "))"
        )
      }
      guard nodes.updateValue(value, forKey: name) == nil else {
        throw ConfigurationError("line \(key.line): `\(name)` is given twice")
      }
    }
  }

  /// Reads the one mapping that a text is.
  /// - Throws: `ConfigurationError`
  public init(yaml: String, of what: String, known: Set<String>) throws(ConfigurationError) {
    let root: Node?
    do {
      root = try Yams.compose(yaml: yaml)
    } catch {
      throw ConfigurationError("it is not YAML: \(error)")
    }
    guard let root else { throw ConfigurationError("it is empty; \(what) is expected") }
    try self.init(root, of: what, known: known)
  }

  public subscript(name: String) -> Node? { nodes[name] }

  /// The scalar `name` as `read` understands it.
  /// - Throws: `ConfigurationError` when it is missing or `read` gives nil.
  public func required<Value>(
    _ name: String, _ expected: String, _ read: (String) -> Value?
  ) throws(ConfigurationError) -> Value {
    guard let value = try optional(name, expected, read) else {
      throw ConfigurationError("line \(line): `\(name)` is missing; expected \(expected)")
    }
    return value
  }

  /// The scalar `name` as `read` understands it; nil when it is missing.
  /// - Throws: `ConfigurationError` when `read` gives nil.
  public func optional<Value>(
    _ name: String, _ expected: String, _ read: (String) -> Value?
  ) throws(ConfigurationError) -> Value? {
    guard let node = nodes[name] else { return nil }
    guard let value = node.scalar.flatMap({ read($0.string) }) else {
      throw ConfigurationError("line \(node.line): `\(name)` must be \(expected)\(Self.found(node))")
    }
    return value
  }

  /// What stands there, cut short, for an error; nothing of a list or a mapping. A URL may hold a password before `@`.
  private static func found(_ node: Node) -> String {
    guard let text = node.scalar?.string, !text.contains("@") else { return "" }
    let shown = text.count <= 80 ? text : String(text.prefix(80)) + "…"
    return "; got `\(shown)`"
  }

  /// The elements of the list `name`; empty when it is missing.
  /// - Throws: `ConfigurationError` for anything but a list.
  public func list(_ name: String) throws(ConfigurationError) -> [Node] {
    guard let node = nodes[name] else { return [] }
    guard let elements = node.sequence else { throw ConfigurationError("line \(node.line): `\(name)` must be a list") }
    return Array(elements)
  }
}

extension Node {
  /// Where it stands in its file, from 1; 0 when that is not known.
  public var line: Int { mark?.line ?? 0 }
}
