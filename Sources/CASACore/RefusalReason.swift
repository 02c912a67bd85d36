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
  /// The authorization service gave the proxy no valid answer in time.
  case noDecision = "no_decision"
}

extension RefusalReason {
  /// Whether a check of intent refused a call that was well-formed and selected: several in one session look like
  /// somebody trying until one passes.
  public var isNearMiss: Bool { self == .toolIntentMismatch || self == .toolParametersMismatch }
}
