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

  /// Whether the answer reads as if nothing had been done, so that another try is to be expected.
  var saysFailure: Bool {
    Words.split(text.prefix(Self.announcement)).contains(where: Self.failing.contains)
  }

  /// A failure is told of at once.
  private static let announcement = 160
  private static let failing = Verbs.words(
    """
    error errors exception fail fails failed failure invalid unable cannot can't couldn't unsuccessful denied rejected \
    declined refused unknown missing unavailable insufficient timeout
    """)
}
