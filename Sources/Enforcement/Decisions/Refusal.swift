public import AgentProtocols
public import CASACore

/// Why a request does not pass.
public struct Refusal: Error, Sendable {
  public let reason: RefusalReason
  /// One sentence for people; never a token, a prompt or an argument's value.
  public let explanation: String
  public var decisionID: String?
  /// To which JSON-RPC request the answer belongs.
  public var requestID: JSONRPCID?

  public init(_ reason: RefusalReason, _ explanation: String, decisionID: String? = nil) {
    self.reason = reason
    self.explanation = explanation
    self.decisionID = decisionID
  }

  public init(_ violation: ProtocolViolation) {
    self.init(violation.reason, violation.detail)
    requestID = violation.requestID
  }
}

extension RefusalReason {
  /// What `WWW-Authenticate` says of a refused token (RFC 6750 section 3); nil for reasons that are not the token's.
  /// The status stays 403 all the same: it is the caller's sidecar that lacks the token, not an app that could get one.
  public var bearerChallenge: String? {
    switch self {
    case .tokenMissing: #"Bearer realm="casa""#
    case .tokenMalformed, .tokenInactive, .tokenSpent, .tokenNotForThisApp, .tokenNotForThisCall:
      #"Bearer realm="casa", error="invalid_token""#
    case .insufficientScope: #"Bearer realm="casa", error="insufficient_scope""#
    default: nil
    }
  }
}
