public import CASACore

/// What a tool answered in a session, as the data plane read it before the agent got it.
public struct ToolResult: Sendable, Hashable {
  /// Of one call of a tool there is one result.
  public let id: String
  public let server: Name
  public let tool: ToolName
  /// All that the answer said: see `ToolResultContent`.
  public let text: String
  /// Whether `text` is not all that was said: it was too long, or was deleted when the session seemed to be over.
  public let isTruncated: Bool
  /// What kinds of content were not read: `image`, `audio`, `blob` and the like.
  public let unread: [String]

  public init(
    id: String, server: Name, tool: ToolName, text: String, isTruncated: Bool = false,
    unread: [String] = []
  ) {
    self.id = id
    self.server = server
    self.tool = tool
    self.text = text
    self.isTruncated = isTruncated
    self.unread = unread
  }
}
