import AgentProtocols
import CASACore

/// What a refused request's sender gets, with the status 403.
public struct RefusalFields: Sendable {
  public let headers: [(name: String, value: String)]
  public let body: String

  public init(_ refusal: Refusal, record: RequestRecord?) {
    body = RefusalBody.text(refusal, record: record)
    var headers = [(name: "content-type", value: "application/json")]
    if let challenge = refusal.reason.bearerChallenge, record?.direction == EnforcementPoint.ingress {
      headers.append(("www-authenticate", challenge))
    }
    if let id = refusal.decisionID { headers.append(("x-casa-decision", id)) }
    if let pause = refusal.retryAfter { headers.append(("retry-after", String(pause))) }
    self.headers = headers
  }
}

extension RefusalReason {
  /// What `WWW-Authenticate` says of a refused token (RFC 6750 section 3); nil for reasons that are not the token's.
  /// The status stays 403 all the same: it is the caller's sidecar that lacks the token, not an app that could get one.
  fileprivate var bearerChallenge: String? {
    switch self {
    case .tokenMissing: #"Bearer realm="casa""#
    case .tokenMalformed, .tokenInactive, .tokenSpent, .tokenNotForThisApp, .tokenNotForThisCall:
      #"Bearer realm="casa", error="invalid_token""#
    case .insufficientScope: #"Bearer realm="casa", error="insufficient_scope""#
    default: nil
    }
  }
}

/// The body of a refusal, in the form its receiver reads: JSON-RPC where one asked, OpenAI's where the LLM was
/// asked, and a problem (RFC 9457) elsewhere.
public enum RefusalBody {
  /// Our code within the range JSON-RPC leaves to servers (−32000 to −32099).
  static let code: Int64 = -32_003

  public static func text(_ refusal: Refusal, record: RequestRecord?) -> String {
    json(refusal, record: record).canonicalText
  }

  private static func json(_ refusal: Refusal, record: RequestRecord?) -> JSONValue {
    let message = "refused by CASA: \(refusal.reason.rawValue): \(refusal.explanation)"
    var details: [String: JSONValue] = [
      "reason": .string(refusal.reason.rawValue), "explanation": .string(refusal.explanation),
    ]
    if let id = refusal.decisionID { details["decision_id"] = .string(id) }
    if let pause = refusal.retryAfter { details["retry_after"] = .number(Double(pause)) }
    if record?.destination == RequestRecord.llm {
      details["message"] = .string(message)
      details["type"] = "casa_refused"
      details["code"] = .string(refusal.reason.rawValue)
      return ["error": .object(details)]
    }
    if let id = record?.requestID ?? refusal.requestID {
      return [
        "jsonrpc": "2.0", "id": id.json,
        "error": ["code": .number(Double(code)), "message": .string(message), "data": .object(details)],
      ]
    }
    details["type"] = "about:blank"
    details["title"] = "Forbidden"
    details["status"] = 403
    details["detail"] = .string(message)
    return .object(details)
  }
}
