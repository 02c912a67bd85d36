import AgentProtocols
import CASACore

/// Why a request does not pass.
struct Refusal: Error, Sendable {
  let reason: RefusalReason
  /// One sentence for people; never a token, a prompt or an argument's value.
  let explanation: String
  var decisionID: String?
  /// To which JSON-RPC request the answer belongs.
  var requestID: JSONRPCID?

  init(_ reason: RefusalReason, _ explanation: String, decisionID: String? = nil) {
    self.reason = reason
    self.explanation = explanation
    self.decisionID = decisionID
  }

  init(_ violation: ProtocolViolation) {
    self.init(violation.reason, violation.detail)
    requestID = violation.requestID
  }
}
