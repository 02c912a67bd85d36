/// The one call a T3 is good for: an `authorization_details` object (RFC 9396) of type `mcp_tool_call`.
public struct ToolCallBinding: Sendable, Hashable {
  public static let type = "mcp_tool_call"

  /// The MCP server's app name within its MAS.
  public let server: Name
  public let tool: ToolName
  /// Lowercase hexadecimal SHA-256 of the arguments' canonical form (RFC 8785).
  public let argumentsSHA256: String

  public init(server: Name, tool: ToolName, argumentsSHA256: String) {
    self.server = server
    self.tool = tool
    self.argumentsSHA256 = argumentsSHA256
  }

  /// nil unless `json` is exactly such an object.
  public init?(json: JSONValue) {
    guard let members = json.object, members.count == 4, json["type"]?.string == Self.type,
      let server = json["server"]?.string.flatMap({ Name($0) }),
      let tool = json["tool"]?.string.flatMap({ ToolName($0) }),
      let digest = json["arguments_sha256"]?.string, isLowercaseHex(digest, count: 64)
    else { return nil }
    self.init(server: server, tool: tool, argumentsSHA256: digest)
  }

  public var json: JSONValue {
    [
      "type": .string(Self.type), "server": .string(server.text), "tool": .string(tool.text),
      "arguments_sha256": .string(argumentsSHA256),
    ]
  }
}
