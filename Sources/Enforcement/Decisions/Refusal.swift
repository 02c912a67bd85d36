public import AgentProtocols
public import CASACore

/// Why a request does not pass.
public struct Refusal: Error, Sendable {
  public let reason: RefusalReason
  /// One sentence for people; never a token, a prompt or an argument's value.
  public let explanation: String
  public var decisionID: String?
  /// After how many seconds it makes sense to try again; nil when nothing is known of that.
  public var retryAfter: Int?
  /// To which JSON-RPC request the answer belongs.
  public var requestID: JSONRPCID?

  /// What the authorization service would have had to decide.
  public static let noAnswer = Refusal(.noDecision, "there was no valid answer of the authorization service")

  public init(_ reason: RefusalReason, _ explanation: String, decisionID: String? = nil, retryAfter: Int? = nil) {
    self.reason = reason
    self.explanation = explanation
    self.decisionID = decisionID
    self.retryAfter = retryAfter
  }

  public init(_ violation: ProtocolViolation) {
    self.init(violation.reason, violation.detail)
    requestID = violation.requestID
  }
}

/// What `read` reads of a message; what can't be read is refused.
public func refusingViolations<Value>(_ read: () throws(ProtocolViolation) -> Value) throws(Refusal) -> Value {
  do throws(ProtocolViolation) {
    return try read()
  } catch {
    throw Refusal(error)
  }
}
