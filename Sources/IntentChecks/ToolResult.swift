public import CASACore

/// What a tool answered, as text: all that an agent and its LLM could learn from it.
public struct ToolResult: Sendable, Hashable {
  /// Names the result among all; the text that it names never changes.
  public let id: String
  public let server: Name
  public let tool: ToolName
  public let text: String
  /// Whether the tool's text was longer than what is kept.
  public let isTruncated: Bool
  /// The kinds of content that are no text, such as `image`.
  public let unread: [String]

  public init(
    id: String, server: Name, tool: ToolName, text: String, isTruncated: Bool = false, unread: [String] = []
  ) {
    self.id = id
    self.server = server
    self.tool = tool
    self.text = text
    self.isTruncated = isTruncated
    self.unread = unread
  }
}
