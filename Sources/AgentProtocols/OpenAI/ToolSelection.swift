public import CASACore

/// A call that an LLM selected.
public struct ToolSelection: Sendable, Hashable {
  public let tool: ToolName
  public let arguments: [String: JSONValue]

  public var argumentsSHA256: String { AgentProtocols.argumentsSHA256(arguments) }

  /// nil when the name or the arguments are not what a tool call could carry: no call could match it.
  init?(name: String, arguments text: String) {
    guard let tool = ToolName(name) else { return nil }
    self.tool = tool
    // Models write nothing at all for a call without arguments.
    if text.allSatisfy(\.isWhitespace) {
      arguments = [:]
    } else {
      guard let parsed = try? JSONValue(parsing: text), let object = parsed.object else { return nil }
      arguments = object
    }
  }
}
