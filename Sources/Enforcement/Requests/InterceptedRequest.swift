import AgentProtocols
import CASACore

/// A request as the proxy holds it while it asks. Nothing in it is trusted.
public struct InterceptedRequest: Sendable {
  public let method: String
  /// Without the query.
  public let path: String
  /// After the question mark, or the number sign that nobody should send; nil when there is none.
  public let query: String?
  /// Names in lower case; a field sent twice stands here twice.
  public let headers: [(name: String, value: String)]
  public let body: [UInt8]

  public var hasQuery: Bool { query != nil }

  init(
    method: String, path: String, query: String? = nil, headers: [(name: String, value: String)], body: [UInt8]
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
  }

  public func values(_ name: String) -> [String] { headers.lazy.filter { $0.name == name }.map(\.value) }

  /// The value of a field that may be sent once.
  /// - Throws: `Refusal` when it is sent more often: two readers could take different ones.
  public func single(_ name: String) throws(Refusal) -> String? {
    var value: String?
    var count = 0
    for header in headers where header.name == name {
      value = header.value
      count += 1
    }
    guard count <= 1 else { throw Refusal(.duplicateHeader, "the header `\(name)` was sent \(count) times") }
    return value
  }

  /// The request's trace; a malformed `traceparent` counts as none (W3C Trace Context section 3.2.2.3).
  func traceParent() throws(Refusal) -> TraceParent? { try single("traceparent").flatMap { TraceParent($0) } }

  /// The body, given that it is JSON as the receiver will read it.
  func jsonBody() throws(Refusal) -> [UInt8] {
    guard ContentType.isUTF8(try single("content-type") ?? "", of: "application/json") else {
      throw Refusal(.protocolNotAllowed, "`content-type` must be application/json, in UTF-8")
    }
    try refuseEncodedBody()
    return body
  }

  func refuseEncodedBody() throws(Refusal) {
    for header in headers where header.name == "content-encoding" && !ContentEncoding.isIdentity(header.value) {
      throw Refusal(.protocolNotAllowed, "a body with `content-encoding` can't be checked")
    }
  }

  func refuseBody() throws(Refusal) {
    guard body.isEmpty else { throw Refusal(.malformedRequest, "\(method.prefix(16)) has no body here") }
  }

  /// Fields whose names only CASA's parts may use, and the one by which an Envoy behind could be told where to send the
  /// request.
  func refuseReservedHeaders() throws(Refusal) {
    if headers.contains(where: { $0.name == "x-envoy-original-dst-host" }) {
      throw Refusal(
        .reservedHeader, "the header `x-envoy-original-dst-host` chooses a destination; an app may not send it")
    }
    if let field = headers.first(where: { $0.name.utf8.starts(with: "x-casa-".utf8) }) {
      throw Refusal(.reservedHeader, "the header `\(field.name.prefix(40))` is CASA's own; an app may not send it")
    }
  }
}
