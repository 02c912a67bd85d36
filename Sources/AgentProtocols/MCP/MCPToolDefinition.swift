public import CASACore
import Crypto

/// A tool as an MCP server lists it.
public struct MCPToolDefinition: Sendable, Hashable {
  public let name: ToolName
  /// All the server says of the tool but `_meta`, which may differ from one listing to the next.
  public let definition: JSONValue
  /// Lowercase hexadecimal SHA-256 of the definition's canonical form (RFC 8785).
  public let digest: String

  public static let maximumTools = 1000

  /// Reads one page of a `tools/list` result.
  /// - Throws: `ProtocolViolation` for a tool without a proper name and for a name listed twice.
  public static func parseList(
    _ result: JSONValue
  ) throws(ProtocolViolation) -> (tools: [MCPToolDefinition], nextCursor: String?) {
    guard let list = result["tools"]?.array, list.count <= maximumTools else {
      throw ProtocolViolation(.malformedRequest, "expected `tools`, an array of at most \(maximumTools)")
    }
    var tools: [MCPToolDefinition] = []
    var names: Set<ToolName> = []
    for element in list {
      guard var members = element.object, let name = members["name"]?.string.flatMap({ ToolName($0) }) else {
        throw ProtocolViolation(.malformedRequest, "a listed tool has no name of A-Z a-z 0-9 _ - . /")
      }
      guard names.insert(name).inserted else {
        throw ProtocolViolation(.malformedRequest, "a tool is listed twice")
      }
      members["_meta"] = nil
      let definition = JSONValue.object(members)
      tools.append(
        MCPToolDefinition(
          name: name, definition: definition, digest: lowercaseHex(SHA256.hash(data: definition.canonicalBytes))))
    }
    return (tools, result["nextCursor"]?.string)
  }
}
