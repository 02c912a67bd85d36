import CASACore

/// `DETERMINISTIC_TOOL_SELECTED`: the token grants the tool, and the server offers it as it was approved.
struct ToolSelectedCheck: Check {
  let name = CheckName.deterministicToolSelected

  func examine(_ question: ToolCallInQuestion) -> CheckFinding {
    let tool = question.call.tool
    guard question.grantedTools.contains(tool) else {
      return CheckFinding(.block(.insufficientScope), "the subject token does not grant the tool \(tool)")
    }
    switch question.offered {
    case nil:
      return CheckFinding(.block(.unknownTool), "the server \(question.call.server) offers no tool \(tool)")
    case .modified:
      return CheckFinding(
        .block(.modifiedMCPToolDefinitions), "the definition of \(tool) is not the one that was approved"
      )
    case .pinned:
      return CheckFinding(.allow, "\(question.call.server) offers \(tool) as it was approved and the token grants it")
    }
  }
}
