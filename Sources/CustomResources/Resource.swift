import AgentProtocols
public import CASACore
import Foundation
import Yams

/// One of CASA's custom resources.
public enum Resource: Sendable, Hashable {
  case system(MultiAgentSystem)
  case policy(CASAPolicy)

  public static let group = "casa.io"
  public static let version = "v1alpha1"
  public static let apiVersion = "\(group)/\(version)"

  /// - Throws: `ResourceError`, also for an object of another kind.
  public init(json: JSONValue, defaultNamespace: String = "default") throws(ResourceError) {
    guard json["apiVersion"]?.string == Self.apiVersion else {
      throw ResourceError("apiVersion", expected: Self.apiVersion, got: json["apiVersion"]?.string)
    }
    let known: Set = ["apiVersion", "kind", "metadata", "spec", "status"]
    _ = try ResourceFields(json, at: "object", known: known)
    switch json["kind"]?.string {
    case MultiAgentSystem.kind: self = .system(try MultiAgentSystem(json: json, defaultNamespace: defaultNamespace))
    case CASAPolicy.kind: self = .policy(try CASAPolicy(json: json, defaultNamespace: defaultNamespace))
    case let kind: throw ResourceError("kind", expected: "\(MultiAgentSystem.kind) or \(CASAPolicy.kind)", got: kind)
    }
  }

  public static let maximumFileBytes = 1 << 20

  /// Reads all objects of a YAML stream, in order.
  /// - Parameter othersToo: whether the stream may hold objects of other groups, which are passed over.
  /// - Throws: `ResourceError`; what can't be read as YAML has the path `line N` or `file`.
  public static func read(
    yaml: String, defaultNamespace: String = "default", othersToo: Bool = false
  ) throws(ResourceError) -> [Resource] {
    guard yaml.utf8.count <= maximumFileBytes else {
      throw ResourceError("file", expected: "at most \(maximumFileBytes) bytes", got: "\(yaml.utf8.count)")
    }
    var nodes: [Node] = []
    do {
      for node in try Yams.compose_all(yaml: yaml) { nodes.append(node) }
    } catch {
      throw ResourceError("file", expected: "YAML", got: "\(error)")
    }
    var resources: [Resource] = []
    for node in nodes {
      // `---` at a stream's end is a document without content.
      if node.scalar?.string == "" || node.scalar?.string == "null" { continue }
      let json = try Self.json(node, depth: 0)
      if othersToo, let other = json["apiVersion"]?.string, !other.hasPrefix(group + "/") { continue }
      resources.append(try Resource(json: json, defaultNamespace: defaultNamespace))
    }
    guard othersToo || !resources.isEmpty else {
      throw ResourceError("file", expected: "\(MultiAgentSystem.kind) and \(CASAPolicy.kind) objects")
    }
    return resources
  }

  /// A YAML node as the API server would get it from kubectl. A key that is given twice is refused.
  private static func json(_ node: Node, depth: Int) throws(ResourceError) -> JSONValue {
    let line = "line \(node.mark?.line ?? 0)"
    guard depth < 32 else { throw ResourceError(line, expected: "at most 32 levels", got: "more") }
    switch node {
    case .mapping(let mapping):
      var members: [String: JSONValue] = [:]
      for (key, value) in mapping {
        guard let name = key.string else { throw ResourceError(line, expected: "keys that are texts") }
        guard members.updateValue(try json(value, depth: depth + 1), forKey: name) == nil else {
          throw ResourceError("line \(key.mark?.line ?? 0)", expected: "each key once", got: name)
        }
      }
      return .object(members)
    case .sequence(let sequence):
      var elements: [JSONValue] = []
      for element in sequence { elements.append(try json(element, depth: depth + 1)) }
      return .array(elements)
    case .scalar(let scalar):
      // What is quoted is a text.
      guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
      switch node.tag.description {
      case Tag.Name.null.rawValue: return .null
      case Tag.Name.bool.rawValue:
        guard let flag = node.bool else { throw ResourceError(line, expected: "true or false", got: scalar.string) }
        return .bool(flag)
      case Tag.Name.int.rawValue, Tag.Name.float.rawValue:
        guard let number = node.float, number.isFinite else {
          throw ResourceError(line, expected: "a number", got: scalar.string)
        }
        return .number(number)
      default: return .string(scalar.string)
      }
    case .alias: throw ResourceError(line, expected: "no aliases", got: "one")
    }
  }
}
