import AgentProtocols
import CASACore

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
