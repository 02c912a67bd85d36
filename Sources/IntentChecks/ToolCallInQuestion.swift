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
  /// How many other calls of this tool were granted, or are being decided about, and not carried out yet.
  public let othersUnderWay: Int
  /// What the user asked for; nil when it isn't known.
  public let task: String?
  /// The tool as its server describes it; nil when it offers no such tool.
  public let tool: ToolDescription?
  /// The other tools that the session may use.
  public let otherTools: [ToolDescription]
  /// What the tools of the session answered so far, the oldest first.
  public let results: [ToolResult]

  public init(
    call: ToolCall, argumentsSHA256: String, grantedTools: Set<ToolName>, offered: OfferedTool?, llmCalls: Int,
    selections: [RecordedSelection], othersUnderWay: Int = 0, task: String? = nil, tool: ToolDescription? = nil,
    otherTools: [ToolDescription] = [], results: [ToolResult] = []
  ) {
    self.call = call
    self.argumentsSHA256 = argumentsSHA256
    self.grantedTools = grantedTools
    self.offered = offered
    self.llmCalls = llmCalls
    self.selections = selections
    self.othersUnderWay = othersUnderWay
    self.task = task
    self.tool = tool
    self.otherTools = otherTools
    self.results = results
  }
}

extension ToolCallInQuestion {
  /// How many calls of this tool were carried out in the session and did not fail, or may be carried out any moment.
  var timesDone: Int {
    let answers = results.filter { $0.tool == call.tool && $0.server == call.server }
    let failures = answers.count { $0.saysFailure }
    return max(answers.count, selections.count { $0.tool == call.tool && $0.isUsed }) - failures + othersUnderWay
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
