import AgentProtocols
import CASACore
import HTTPTypes
import Hummingbird
import NIOCore
import TokenService

/// What a route answers, before it is written to a connection.
struct Answer: Sendable {
  var status: HTTPResponse.Status
  var headers: HTTPFields
  var body: ByteBuffer
  /// What is written instead of `body` as it comes about.
  var stream: (@Sendable (inout any ResponseBodyWriter) async throws -> Void)?

  /// An answer whose length is not known when it begins.
  init(
    stream contentType: String, _ write: @escaping @Sendable (inout any ResponseBodyWriter) async throws -> Void
  ) {
    status = .ok
    headers = [.contentType: contentType, .cacheControl: "no-store"]
    body = ByteBuffer()
    stream = write
  }

  init(_ status: HTTPResponse.Status, json: JSONValue, contentType: String = "application/json") {
    self.status = status
    body = ByteBuffer(bytes: json.canonicalBytes)
    headers = [.contentType: contentType, .contentLength: String(body.readableBytes)]
  }

  init(_ status: HTTPResponse.Status, text: String, contentType: String) {
    self.status = status
    body = ByteBuffer(string: text)
    headers = [.contentType: contentType, .contentLength: String(body.readableBytes)]
  }

  static let noContent = Answer(empty: .noContent)

  private init(empty status: HTTPResponse.Status) {
    self.status = status
    headers = [:]
    body = ByteBuffer()
  }

  /// An answer that no cache may keep (RFC 6749 section 5.1).
  func unstored() -> Answer {
    var answer = self
    answer.headers[.cacheControl] = "no-store"
    answer.headers[.pragma] = "no-cache"
    return answer
  }

  /// A problem as RFC 9457 describes it.
  init(problem status: HTTPResponse.Status, _ detail: String, errors: [InvalidField] = []) {
    var members: [String: JSONValue] = [
      "type": "about:blank", "status": .number(Double(status.code)), "title": .string(status.reasonPhrase),
      "detail": .string(detail),
    ]
    if !errors.isEmpty {
      members["errors"] = .array(errors.map { ["field": .string($0.field), "expected": .string($0.expected)] })
    }
    self.init(status, json: .object(members), contentType: "application/problem+json")
    if status == .unauthorized { headers[.wwwAuthenticate] = "Bearer realm=\"casa\"" }
  }

  /// An OAuth error (RFC 6749 section 5.2) with the reason and the decision where there are any.
  init(_ error: OAuthError) {
    var members: [String: JSONValue] = [
      "error": .string(error.code.rawValue), "error_description": .string(error.description),
    ]
    if let reason = error.reason { members["reason"] = .string(reason.rawValue) }
    if let id = error.decisionID { members["decision_id"] = .string(id.rawValue) }
    if let pause = error.retryAfter { members["retry_after"] = .number(Double(pause)) }
    self.init(HTTPResponse.Status(code: error.status), json: .object(members))
    self = unstored()
    if let pause = error.retryAfter { headers[.retryAfter] = String(pause) }
    if error.code == .invalidClient { headers[.wwwAuthenticate] = "Basic realm=\"casa\", charset=\"UTF-8\"" }
  }
}

/// A request that ends here with this answer.
struct Refused: Error {
  let answer: Answer

  init(_ status: HTTPResponse.Status, _ detail: String) { answer = Answer(problem: status, detail) }
  init(_ answer: Answer) { self.answer = answer }
}

extension HTTPField.Name {
  static let pragma = HTTPField.Name("pragma")!  // swift-format-ignore: a literal of token characters
}
