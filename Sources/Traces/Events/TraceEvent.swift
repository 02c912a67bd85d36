public import CASACore

/// An immutable record of something decided or seen. It never holds a token, a secret or a prompt.
public struct TraceEvent: Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case userInputReceived = "user_input_received"
    case tokenIssued = "token_issued"
    case tokenExchanged = "token_exchanged"
    case exchangeRefused = "exchange_refused"
    case tokenSpent = "token_spent"
    case spendRefused = "spend_refused"
    case tokenIntrospected = "token_introspected"
    case tokenRevoked = "token_revoked"
    case llmCall = "llm_call"
    case toolResult = "tool_result"
    case callAdmitted = "call_admitted"
    case callRefused = "call_refused"
    case eventsLost = "events_lost"
    case flowOpened = "flow_opened"
    case flowClosed = "flow_closed"
    case flowRefused = "flow_refused"
    case flowsLost = "flows_lost"
    case workloadLeft = "workload_left"
    case tokenSeen = "token_seen"
    case tokenExfiltration = "token_exfiltration"
    case toolsDiscovered = "tools_discovered"
    case toolsApproved = "tools_approved"
    case configurationChanged = "configuration_changed"
    case tracesPruned = "traces_pruned"
    case signingKeyRotated = "signing_key_rotated"
  }

  public let kind: Kind
  public let at: Timestamp
  public let masID: MASID?
  /// The session.
  public let userInputID: UserInputID?
  public let traceID: TraceID?
  public let appID: AppID?
  public let payload: [String: JSONValue]

  public init(
    _ kind: Kind, at: Timestamp, masID: MASID?, userInputID: UserInputID? = nil, traceID: TraceID? = nil,
    appID: AppID? = nil, payload: [String: JSONValue] = [:]
  ) {
    self.kind = kind
    self.at = at
    self.masID = masID
    self.userInputID = userInputID
    self.traceID = traceID
    self.appID = appID
    self.payload = payload
  }
}
