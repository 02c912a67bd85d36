import AgentProtocols
import CASACore

/// A request as the proxy holds it while it asks. Nothing in it is trusted.
public struct InterceptedRequest: Sendable {
  public let method: String
  /// Without the query.
  public let path: String
  public let query: Substring?
  /// Names in lower case; a field sent twice stands here twice.
  public let headers: [(name: String, value: String)]
  public let body: [UInt8]

  public var hasQuery: Bool { query != nil }

  init(method: String, target: String, headers: [(name: String, value: String)], body: [UInt8]) {
    let path = target.prefix { $0 != "?" && $0 != "#" }
    self.method = method
    self.path = String(path)
    query = path.endIndex == target.endIndex ? nil : target[target.index(after: path.endIndex)...]
    self.headers = headers
    self.body = body
  }

  /// Takes over what a proxy says of a request.
  /// - Parameters:
  ///   - target: path and query as they were sent.
  ///   - host: the value of `Host` or `:authority`.
  ///   - fields: every header field as it was sent and in order; pseudo fields are passed over.
  /// - Throws: `Refusal` for what another reader could read differently.
  public init(
    method: String, target: String, host: String, fields: some Sequence<(name: String, value: some Collection<UInt8>)>,
    body: [UInt8]
  ) throws(Refusal) {
    var headers: [(name: String, value: String)] = []
    for (name, bytes) in fields where !name.utf8.starts(with: ":".utf8) {
      // Envoy lets a bare carriage return pass, which a lenient receiver takes for the end of a line.
      guard bytes.allSatisfy({ $0 == 0x09 || (0x20...0x7E).contains($0) || $0 >= 0x80 }) else {
        throw Refusal(.malformedRequest, "a header has a control character")
      }
      guard let value = String(validating: bytes, as: UTF8.self) else {
        throw Refusal(.malformedRequest, "a header is not UTF-8")
      }
      headers.append((name.lowercased(), value))
    }
    // Of several `Host` fields Envoy makes one, with commas.
    guard !host.utf8.contains(UInt8(ascii: ",")) else {
      throw Refusal(.malformedRequest, "the header `host` was sent twice")
    }
    // Swift's comparison of paths takes some other characters for ASCII ones.
    guard target.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw Refusal(.malformedRequest, "the request's target must be of printable ASCII characters")
    }
    self.init(method: method, target: target, headers: headers, body: body)
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
    for header in headers where header.name == "content-encoding" && header.value.lowercased() != "identity" {
      throw Refusal(.protocolNotAllowed, "a body with `content-encoding` can't be checked")
    }
  }

  func refuseBody() throws(Refusal) {
    guard body.isEmpty else { throw Refusal(.malformedRequest, "\(method.prefix(16)) has no body here") }
  }

  /// Fields whose names only CASA's parts may use.
  func refuseReservedHeaders() throws(Refusal) {
    if let field = headers.first(where: { $0.name.utf8.starts(with: "x-casa-".utf8) }) {
      throw Refusal(.reservedHeader, "the header `\(field.name.prefix(40))` is CASA's own; an app may not send it")
    }
  }
}
