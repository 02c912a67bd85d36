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

/// Why something was refused, for machines. Stable: clients and dashboards match on the raw values.
public enum RefusalReason: String, Sendable, Hashable, CaseIterable, Error {
  // Checks of a tool call.
  case toolNotSelectedByLLM = "tool_not_selected_by_llm"
  case toolSelectionAlreadyUsed = "tool_selection_already_used"
  case noLLMCallsMadeByApp = "no_llm_calls_made_by_app"
  case insufficientScope = "insufficient_scope"
  case unknownTool = "unknown_tool"
  case modifiedMCPToolDefinitions = "modified_mcp_tool_defs"
  case toolParametersMismatch = "tool_parameters_mismatch"
  case toolIntentMismatch = "tool_intent_mismatch"
  /// A model that a check is to ask gave no answer that can be used.
  case intentModelUnavailable = "intent_model_unavailable"
  /// A call of the session was refused a moment ago: until some time has passed, only reads pass.
  case sessionRateLimited = "session_rate_limited"
  /// So many calls of the session were refused that none passes any more.
  case sessionLocked = "session_locked"
  case noCheckAllowed = "no_check_allowed"
  // Tokens.
  case tokenMissing = "token_missing"
  case tokenMalformed = "token_malformed"
  case tokenInactive = "token_inactive"
  case tokenNotForThisApp = "token_not_for_this_app"
  case tokenNotForThisCall = "token_not_for_this_call"
  case tokenSpent = "token_spent"
  case tokenSentToLLMHost = "token_sent_to_llm_host"
  // The request.
  case traceContextMissing = "trace_context_missing"
  case traceContextMismatch = "trace_context_mismatch"
  case sessionUnknown = "session_unknown"
  case sessionAmbiguous = "session_ambiguous"
  case userInputMissing = "user_input_missing"
  case userInputMismatch = "user_input_mismatch"
  case protocolNotAllowed = "protocol_not_allowed"
  case methodNotAllowed = "method_not_allowed"
  case malformedRequest = "malformed_request"
  case bodyTooLarge = "body_too_large"
  case reservedHeader = "reserved_header"
  case duplicateHeader = "duplicate_header"
  case destinationNotAllowed = "destination_not_allowed"
  // The parts.
  case callerUnknown = "caller_unknown"
  case runtimeUnavailable = "runtime_unavailable"
  case llmResponseUnreadable = "llm_response_unreadable"
  case mcpResponseUnreadable = "mcp_response_unreadable"
  case overloaded = "overloaded"
}

extension RefusalReason {
  /// Whether a check of intent refused a call that was well-formed and selected: several in one session look like
  /// somebody trying until one passes.
  public var isNearMiss: Bool { self == .toolIntentMismatch || self == .toolParametersMismatch }
}

/// What one check says of one tool call.
public enum CheckAnswer: Sendable, Hashable {
  case allow
  /// Final: no other check's answer can outweigh it.
  case block(RefusalReason)
  /// The check has nothing to go on; `why` is for people.
  case abstain(why: String)
}

/// One check's answer with what it took to reach it.
public struct CheckResult: Sendable, Hashable {
  public let check: CheckName
  public let answer: CheckAnswer
  /// One sentence for people; never the prompt or an argument's value.
  public let explanation: String
  public let latency: Duration
  /// What a check that weighs evidence went by.
  public let judgement: Judgement?

  public init(
    check: CheckName, answer: CheckAnswer, explanation: String, latency: Duration, judgement: Judgement? = nil
  ) {
    self.check = check
    self.answer = answer
    self.explanation = explanation
    self.latency = latency
    self.judgement = judgement
  }
}

/// How a check that weighs evidence came to its answer.
public struct Judgement: Sendable, Hashable {
  /// The greater, the more does the call serve the task.
  public let score: Double
  /// Below it a call is blocked.
  public let threshold: Double
  /// The name of the model that was asked; nil when none was.
  public let model: String?
  /// The text that was judged: the call in words, with its arguments. For those only who may read prompts.
  public let text: String

  public init(score: Double, threshold: Double, model: String?, text: String) {
    self.score = score
    self.threshold = threshold
    self.model = model
    self.text = text
  }
}

public enum Verdict: Sendable, Hashable {
  case allow
  case refuse(RefusalReason)
}

/// All checks' answers on one tool call and the verdict that follows from them.
public struct Decision: Sendable, Hashable {
  public let id: DecisionID
  public let results: [CheckResult]
  public let verdict: Verdict

  /// Combines `results`: a block is final; without any allow the call is refused; an abstention beside an allow
  /// passes. With `allowUndecided` a call that no check decided passes too, which a MAS has to ask for.
  public init(id: DecisionID, results: [CheckResult], allowUndecided: Bool) {
    self.id = id
    self.results = results
    for case .block(let reason) in results.lazy.map(\.answer) {
      verdict = .refuse(reason)
      return
    }
    let allowed = results.contains { $0.answer == .allow }
    verdict = allowed || allowUndecided ? .allow : .refuse(.noCheckAllowed)
  }
}
