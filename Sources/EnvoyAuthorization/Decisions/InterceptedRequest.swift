import AgentProtocols
import CASACore

/// A request as the proxy holds it while it asks. Nothing in it is trusted.
struct InterceptedRequest: Sendable {
  let method: String
  /// Without the query.
  let path: String
  let hasQuery: Bool
  /// Names in lower case; a field sent twice stands here twice.
  let headers: [(name: String, value: String)]
  let body: [UInt8]

  func values(_ name: String) -> [String] { headers.lazy.filter { $0.name == name }.map(\.value) }

  /// The value of a field that may be sent once.
  /// - Throws: `Refusal` when it is sent more often: two readers could take different ones.
  func single(_ name: String) throws(Refusal) -> String? {
    let values = values(name)
    guard values.count <= 1 else {
      throw Refusal(.duplicateHeader, "the header `\(name)` was sent \(values.count) times")
    }
    return values.first
  }

  /// The request's trace; a malformed `traceparent` counts as none (W3C Trace Context section 3.2.2.3).
  func traceParent() throws(Refusal) -> TraceParent? { try single("traceparent").flatMap { TraceParent($0) } }

  /// The body, given that it is JSON as the receiver will read it.
  func jsonBody() throws(Refusal) -> [UInt8] {
    guard ContentType.isUTF8(try single("content-type") ?? "", of: "application/json") else {
      throw Refusal(.protocolNotAllowed, "`content-type` must be application/json, in UTF-8")
    }
    let encodings = values("content-encoding")
    guard encodings.allSatisfy({ $0.lowercased() == "identity" }) else {
      throw Refusal(.protocolNotAllowed, "a body with `content-encoding` can't be checked")
    }
    return body
  }

  /// Fields whose names only CASA's parts may use.
  func refuseReservedHeaders() throws(Refusal) {
    if let field = headers.first(where: { $0.name.utf8.starts(with: "x-casa-".utf8) }) {
      throw Refusal(.reservedHeader, "the header `\(field.name.prefix(40))` is CASA's own; an app may not send it")
    }
  }
}
