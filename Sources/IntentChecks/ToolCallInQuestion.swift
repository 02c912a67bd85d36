public import CASACore

/// Everything a check may look at: the call and what is known about its session, gathered before any check runs.
public struct ToolCallInQuestion: Sendable {
  public let call: ToolCall
  /// Lowercase hexadecimal SHA-256 of the arguments' canonical form (RFC 8785).
  public let argumentsSHA256: String
  /// The subject token's `tools`.
  public let grantedTools: Set<ToolName>
  /// What the named server offers under the tool's name; nil when it offers no such tool.
  public let offered: OfferedTool?
  /// How many LLM calls the data plane recorded for the calling app in this session.
  public let llmCalls: Int
  /// What the LLM selected for the calling app in this session.
  public let selections: [RecordedSelection]

  public init(
    call: ToolCall, argumentsSHA256: String, grantedTools: Set<ToolName>, offered: OfferedTool?, llmCalls: Int,
    selections: [RecordedSelection]
  ) {
    self.call = call
    self.argumentsSHA256 = argumentsSHA256
    self.grantedTools = grantedTools
    self.offered = offered
    self.llmCalls = llmCalls
    self.selections = selections
  }
}

/// A tool as its server listed it when it was last looked at.
public enum OfferedTool: Sendable, Hashable {
  /// The definition is the approved one.
  case pinned
  /// The definition changed since it was approved, or it was never approved.
  case modified
}

/// One tool call that the LLM selected, as the data plane read it from the LLM's answer.
public struct RecordedSelection: Sendable, Hashable {
  public let tool: ToolName
  public let argumentsSHA256: String
  /// Whether a tool token issued for this selection was spent already.
  public var isUsed: Bool

  public init(tool: ToolName, argumentsSHA256: String, isUsed: Bool) {
    self.tool = tool
    self.argumentsSHA256 = argumentsSHA256
    self.isUsed = isUsed
  }
}
