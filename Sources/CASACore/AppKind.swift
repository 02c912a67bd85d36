/// What part an app plays in its MAS.
public enum AppKind: String, Sendable, Hashable, CaseIterable {
  /// Talks for the user: its requests start sessions.
  case client
  /// Calls LLMs, tools and other agents.
  case agent
  /// Offers tools over MCP.
  case mcpServer = "mcp_server"
}
