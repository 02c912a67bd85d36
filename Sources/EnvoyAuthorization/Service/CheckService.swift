import AgentProtocols
import CASACore
import Enforcement
import GRPCCore
import Logging
import SwiftProtobuf

/// Envoy's `Authorization/Check`: one question per request, answered by the workload's rules.
struct CheckService: Envoy_Service_Auth_V3_Authorization.ServiceProtocol {
  let sidecars: SidecarDirectory
  let logger: Logger

  func check(
    request: ServerRequest<Envoy_Service_Auth_V3_CheckRequest>, context: ServerContext
  ) async throws -> ServerResponse<Envoy_Service_Auth_V3_CheckResponse> {
    ServerResponse(message: await answer(request.message.attributes, metadata: request.metadata))
  }

  private func answer(
    _ attributes: Envoy_Service_Auth_V3_AttributeContext, metadata: Metadata
  ) async -> Envoy_Service_Auth_V3_CheckResponse {
    guard let workload = sidecars.workload(for: metadata) else {
      logger.warning("a proxy with an unknown sidecar key asked")
      return .denied(Refusal(.callerUnknown, "the authorization service does not know this sidecar"), record: nil)
    }
    guard let listener = attributes.contextExtensions["casa.listener"].flatMap({ Listener(name: $0) }),
      attributes.contextExtensions["casa.direction"] == listener.direction
    else {
      return .denied(Refusal(.destinationNotAllowed, "the proxy did not say which listener asks"), record: nil)
    }
    let intercepted: InterceptedRequest
    do throws(Refusal) {
      intercepted = try InterceptedRequest(attributes.request.http)
    } catch {
      return .denied(error, record: nil)
    }
    let (result, record) = await workload.decide(intercepted, at: listener)
    switch result {
    case .success(let admission): return .admitted(admission)
    case .failure(let refusal): return .denied(refusal, record: record)
    }
  }
}

extension InterceptedRequest {
  /// Reads Envoy's description.
  /// - Throws: `Refusal` when the target or a header is not text, or the body is there only in part.
  init(_ http: Envoy_Service_Auth_V3_AttributeContext.HttpRequest) throws(Refusal) {
    var headers: [(name: String, value: String)] = []
    // The map form joins repeated fields into one value; only the list shows them as they were sent.
    guard !http.headerMap.headers.isEmpty else {
      throw Refusal(.malformedRequest, "the proxy must send raw headers (encode_raw_headers)")
    }
    for header in http.headerMap.headers {
      let bytes = header.rawValue.isEmpty ? Array(header.value.utf8) : Array(header.rawValue)
      guard let value = String(validating: bytes, as: UTF8.self) else {
        throw Refusal(.malformedRequest, "a header is not UTF-8")
      }
      // Envoy lets a bare carriage return pass, which a lenient receiver takes for the end of a line.
      guard bytes.allSatisfy({ $0 == 0x09 || (0x20...0x7E).contains($0) || $0 >= 0x80 }) else {
        throw Refusal(.malformedRequest, "a header has a control character")
      }
      headers.append((header.key.lowercased(), value))
    }
    // Which of the two forms says so differs between releases of Envoy.
    let partial = "x-envoy-auth-partial-body"
    guard !headers.contains(where: { $0.name == partial && $0.value != "false" }),
      http.headers[partial] ?? "false" == "false"
    else { throw Refusal(.bodyTooLarge, "the body is larger than the proxy holds") }
    // Of several `Host` fields Envoy makes one, with commas.
    guard !http.host.contains(",") else { throw Refusal(.malformedRequest, "the header `host` was sent twice") }
    let target = http.path
    // Swift's comparison of paths takes some other characters for ASCII ones.
    guard target.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw Refusal(.malformedRequest, "the request's target must be of printable ASCII characters")
    }
    let path = target.prefix { $0 != "?" && $0 != "#" }
    self.init(
      method: http.method, path: String(path), hasQuery: path.endIndex != target.endIndex,
      headers: headers.filter { !$0.name.hasPrefix(":") && $0.name != partial },
      body: http.rawBody.isEmpty ? Array(http.body.utf8) : Array(http.rawBody))
  }
}

extension Envoy_Service_Auth_V3_CheckResponse {
  fileprivate static func admitted(_ admission: Admission) -> Self {
    var answer = Self()
    answer.status.code = 0
    answer.okResponse.headers = admission.setHeaders.map { .overwriting($0.name, $0.value) }
    answer.okResponse.headersToRemove = admission.removeHeaders
    var fields: [String: Google_Protobuf_Value] = [:]
    if let id = admission.decisionID { fields["decision"] = Google_Protobuf_Value(stringValue: id) }
    if let token = admission.llmToken { fields["llm_token"] = Google_Protobuf_Value(stringValue: token) }
    if !fields.isEmpty { answer.dynamicMetadata = Google_Protobuf_Struct(fields: fields) }
    return answer
  }

  fileprivate static func denied(_ refusal: Refusal, record: RequestRecord?) -> Self {
    var answer = Self()
    answer.status.code = 7  // PERMISSION_DENIED
    answer.deniedResponse.status.code = .forbidden
    answer.deniedResponse.body = RefusalBody.text(refusal, record: record)
    answer.deniedResponse.headers = [.overwriting("content-type", "application/json")]
    if let challenge = refusal.reason.bearerChallenge, record?.direction == Listener.ingress.direction {
      answer.deniedResponse.headers.append(.overwriting("www-authenticate", challenge))
    }
    if let id = refusal.decisionID { answer.deniedResponse.headers.append(.overwriting("x-casa-decision", id)) }
    return answer
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

extension Envoy_Config_Core_V3_HeaderValueOption {
  static func overwriting(_ name: String, _ value: String) -> Self {
    var option = Self()
    option.header.key = name
    option.header.value = value
    option.appendAction = .overwriteIfExistsOrAdd
    return option
  }
}

/// The body of a refusal, in the form its receiver reads: JSON-RPC where one asked, OpenAI's where the LLM was
/// asked, and a problem (RFC 9457) elsewhere.
enum RefusalBody {
  /// Our code within the range JSON-RPC leaves to servers (−32000 to −32099).
  static let code: Int64 = -32_003

  static func text(_ refusal: Refusal, record: RequestRecord?) -> String {
    json(refusal, record: record).canonicalText
  }

  private static func json(_ refusal: Refusal, record: RequestRecord?) -> JSONValue {
    let message = "refused by CASA: \(refusal.reason.rawValue): \(refusal.explanation)"
    var details: [String: JSONValue] = [
      "reason": .string(refusal.reason.rawValue), "explanation": .string(refusal.explanation),
    ]
    if let id = refusal.decisionID { details["decision_id"] = .string(id) }
    if record?.destination == "llm" {
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
