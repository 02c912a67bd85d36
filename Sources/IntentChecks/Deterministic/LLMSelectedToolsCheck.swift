import CASACore

/// `DETERMINISTIC_LLM_SELECTED_TOOLS`: the LLM selected this tool with these arguments in this session, and the
/// selection was not carried out already.
struct LLMSelectedToolsCheck: Check {
  let name = CheckName.deterministicLLMSelectedTools

  func examine(_ question: ToolCallInQuestion) -> CheckFinding {
    let tool = question.call.tool
    guard question.llmCalls > 0 else {
      return CheckFinding(.block(.noLLMCallsMadeByApp), "the app has not asked the LLM in this session")
    }
    let ofTool = question.selections.filter { $0.tool == tool }
    let matching = ofTool.filter { $0.argumentsSHA256 == question.argumentsSHA256 }
    guard !matching.isEmpty else {
      let what = ofTool.isEmpty ? "did not select \(tool)" : "selected \(tool) with other arguments"
      return CheckFinding(.block(.toolNotSelectedByLLM), "in this session the LLM \(what)")
    }
    guard matching.contains(where: { !$0.isUsed }) else {
      return CheckFinding(
        .block(.toolSelectionAlreadyUsed), "each of the LLM's \(matching.count) selections of this call was carried out"
      )
    }
    return CheckFinding(.allow, "the LLM selected \(tool) with these arguments")
  }
}
