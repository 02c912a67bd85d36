import AgentProtocols
public import CASACore
public import IntentChecks

/// A tool of an MCP server: its definition as last seen and the one that was approved.
public struct RegisteredTool: Sendable {
  public let app: AppID
  public let name: ToolName
  public let definition: JSONValue
  /// The approved definition, as far as it is known.
  public let pinnedDefinition: JSONValue?
  /// The approved definition's hash; nil while the tool was never approved.
  public let pinnedSHA256: String?
  /// The hash of the definition last listed; nil when the server no longer lists the tool.
  public let seenSHA256: String?
  public let checkedAt: Timestamp

  /// The definition last seen, as the checks take it.
  public var toolDescription: ToolDescription { ToolDescription(name: name.text, definition: definition) }

  /// Whether the server lists the tool exactly as it was approved.
  public var isPinned: Bool { pinnedSHA256 != nil && pinnedSHA256 == seenSHA256 }

  /// `pinned`, `modified` since it was approved, `unapproved` as yet, or `withdrawn` by its server.
  public var status: String {
    isPinned ? "pinned" : seenSHA256 == nil ? "withdrawn" : pinnedSHA256 == nil ? "unapproved" : "modified"
  }

  public var json: JSONValue {
    [
      "name": .string(name.text), "definition": definition,
      "pinned_sha256": pinnedSHA256.map(JSONValue.string) ?? .null,
      "seen_sha256": seenSHA256.map(JSONValue.string) ?? .null,
      "status": .string(status),
      "checked_at": .string(checkedAt.rfc3339),
    ]
  }
}
