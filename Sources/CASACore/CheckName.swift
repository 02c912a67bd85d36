/// The name of a check, as operators switch it on in a MAS's `enabledToolChecks`.
public enum CheckName: String, Sendable, Hashable, CaseIterable {
  /// The tool is among the subject token's `tools` and one that the MAS's servers offer, unchanged since it
  /// was approved.
  case deterministicToolSelected = "DETERMINISTIC_TOOL_SELECTED"
  /// The LLM selected this tool with these arguments in this session, as the data plane recorded it.
  case deterministicLLMSelectedTools = "DETERMINISTIC_LLM_SELECTED_TOOLS"
  /// The arguments are such as the tool's approved input schema takes.
  case deterministicToolArguments = "DETERMINISTIC_TOOL_ARGUMENTS"
  /// The values that say whom or what the call concerns come from the user or from data that the task led to, not from
  /// instructions in a tool's result.
  case argumentGrounding = "ARGUMENT_GROUNDING"
  /// What the tool does is what the user asked for, by the meaning of both texts.
  case aiPoweredToolMatch = "AI_POWERED_TOOL_MATCH"
}
