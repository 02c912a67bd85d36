public import CASACore

/// One step of a JSON Patch (RFC 6902).
public struct JSONPatchOperation: Sendable, Hashable {
  public enum Kind: String, Sendable, Hashable { case add, replace }

  public let kind: Kind
  /// A JSON Pointer (RFC 6901).
  public let path: String
  public let value: JSONValue

  /// - Parameter steps: the names and indices that lead to the place.
  init(_ kind: Kind, at steps: [String], _ value: JSONValue) {
    self.kind = kind
    path = steps.map { "/" + Self.escaped($0) }.joined()
    self.value = value
  }

  public var json: JSONValue { ["op": .string(kind.rawValue), "path": .string(path), "value": value] }

  /// A name as a JSON Pointer has it.
  private static func escaped(_ step: String) -> String {
    var text = ""
    for scalar in step.unicodeScalars {
      switch scalar {
      case "~": text += "~0"
      case "/": text += "~1"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
