import AgentProtocols
import CASACore

/// The body of a refusal, in the form its receiver reads: JSON-RPC where one asked, OpenAI's where the LLM was
/// asked, and a problem (RFC 9457) elsewhere.
public struct RefusalBody: Sendable, Equatable {
  /// Our code within the range JSON-RPC leaves to servers (−32000 to −32099).
  static let code: Int64 = -32_003

  /// The statuses of refusals.
  public enum Status: Int, Sendable {
    case forbidden = 403
    case contentTooLarge = 413
    case badGateway = 502

    /// As RFC 9110 section 15 has it.
    var phrase: String {
      switch self {
      case .forbidden: "Forbidden"
      case .contentTooLarge: "Content Too Large"
      case .badGateway: "Bad Gateway"
      }
    }
  }

  public let text: String
  /// The text's media type.
  public let contentType: String

  /// - Parameter status: with which it is sent.
  public init(_ refusal: Refusal, record: RequestRecord?, status: Status = .forbidden) {
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
      self.init(["error": .object(details)], "application/json")
    } else if let id = record?.requestID ?? refusal.requestID {
      let error: JSONValue = [
        "code": .number(Double(Self.code)), "message": .string(message), "data": .object(details),
      ]
      self.init(["jsonrpc": "2.0", "id": id.json, "error": error], "application/json")
    } else {
      details["type"] = "about:blank"
      details["title"] = .string(status.phrase)
      details["status"] = .number(Double(status.rawValue))
      details["detail"] = .string(message)
      self.init(.object(details), "application/problem+json")
    }
  }

  private init(_ json: JSONValue, _ contentType: String) {
    text = json.canonicalText
    self.contentType = contentType
  }
}
