/// A method that a client may send to an MCP server in any revision up to 2026-07-28.
public struct MCPMethod: Sendable, Hashable {
  /// What a method does to the session, which decides the token it needs.
  public enum Class: Sendable, Hashable {
    /// Runs a tool: needs a token for exactly this call.
    case toolCall
    case toolListing
    /// Opens, keeps and closes the session; has no effect of its own.
    case lifecycle
    /// Reads or asks for something beside the tools: prompts, resources, sampling and the like.
    case restricted
  }

  public let name: String
  public let methodClass: Class
  var isNotification: Bool { name.hasPrefix("notifications/") }

  public static let toolListing = MCPMethod(name: "tools/list", methodClass: .toolListing)

  private init(name: String, methodClass: Class) {
    self.name = name
    self.methodClass = methodClass
  }

  /// nil for a method that MCP does not know.
  public init?(_ name: String) {
    guard let known = Self.known[name] else { return nil }
    self.init(name: name, methodClass: known)
  }

  private static let known: [String: Class] = [
    "tools/call": .toolCall, "tools/list": .toolListing,
    "initialize": .lifecycle, "ping": .lifecycle, "server/discover": .lifecycle,
    "notifications/initialized": .lifecycle, "notifications/cancelled": .lifecycle,
    "notifications/progress": .lifecycle,
    "notifications/roots/list_changed": .restricted, "notifications/tasks/status": .restricted,
    "completion/complete": .restricted, "logging/setLevel": .restricted,
    "prompts/list": .restricted, "prompts/get": .restricted,
    "resources/list": .restricted, "resources/templates/list": .restricted, "resources/read": .restricted,
    "resources/subscribe": .restricted, "resources/unsubscribe": .restricted,
    "subscriptions/listen": .restricted,
    "tasks/list": .restricted, "tasks/get": .restricted, "tasks/result": .restricted, "tasks/cancel": .restricted,
  ]
}
