/// One parsed call of an MCP tool: which server, which tool, with what arguments.
public struct ToolCall: Sendable, Hashable {
  /// The MCP server's app name within its MAS.
  public let server: Name
  public let tool: ToolName
  /// Always an object; a call without arguments has the empty one.
  public let arguments: [String: JSONValue]

  public init(server: Name, tool: ToolName, arguments: [String: JSONValue]) {
    self.server = server
    self.tool = tool
    self.arguments = arguments
  }
}
