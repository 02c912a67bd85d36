public import AgentProtocols
public import CASACore

/// Where the definitions of a server's tools come from: its own `tools/list`.
public protocol ToolSource: Sendable {
  /// Everything the server lists now.
  func tools(of app: App, token: IssuedToken) async throws -> [MCPToolDefinition]
}

/// A server's tools could not be listed.
public struct DiscoveryError: Error, Sendable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

extension AuthorizationServer {
  /// Asks an MCP server for its tools and takes in what changed. The first listing is approved as it is.
  /// - Throws: `RegistryError`, or what `source` throws.
  public func discoverTools(of id: AppID, from source: some ToolSource) async throws -> [RegisteredTool] {
    guard let app = registry.app(id) else { throw RegistryError.notFound("app \(id)") }
    guard app.kind == .mcpServer else {
      throw RegistryError.conflict("\(app.name) is of kind \(app.kind.rawValue); only an mcp_server has tools")
    }
    let listed = try await source.tools(of: app, token: try discoveryToken(for: app))
    return try await registry.recordListing(of: id, listed)
  }
}
