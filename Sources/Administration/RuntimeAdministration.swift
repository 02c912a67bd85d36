import AgentProtocols
package import AsyncHTTPClient
package import CASACore
import NIOCore
package import NIOHTTP1

/// The runtime's HTTP API as an administrator, or a client, uses it.
package struct RuntimeAdministration: Sendable {
  package let http: HTTPClient
  package let baseURL: String
  private let credential: String

  private static let timeout = TimeAmount.seconds(15)
  /// 100,000 apps' worth.
  private static let maximumAnswerBytes = 64 << 20

  /// - Parameters:
  ///   - baseURL: without a slash at its end.
  ///   - credential: the administrator's.
  package init(http: HTTPClient, baseURL: String, credential: String) {
    self.http = http
    self.baseURL = baseURL
    self.credential = credential
  }

  /// Sends JSON.
  /// - Parameter client: who sends it; the administrator when nil.
  /// - Returns: the answer's JSON; an empty object for an answer without a body.
  package func send(
    _ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil, as client: ClientIdentity? = nil
  ) async throws(RuntimeFailure) -> JSONValue {
    try await send(method, path, body: body.map { ("application/json", $0.canonicalBytes) }, as: client)
  }

  /// Posts a form as a client.
  package func post(
    _ path: String, form: [(String, String)], as client: ClientIdentity
  ) async throws(RuntimeFailure) -> JSONValue {
    try await send(.POST, path, body: ("application/x-www-form-urlencoded", FormBody.encode(form)), as: client)
  }

  private func send(
    _ method: HTTPMethod, _ path: String, body: (type: String, bytes: [UInt8])?, as client: ClientIdentity?
  ) async throws(RuntimeFailure) -> JSONValue {
    var request = HTTPClientRequest(url: baseURL + path)
    request.method = method
    request.headers.add(name: "authorization", value: client?.authorization ?? "Bearer " + credential)
    if let body {
      request.headers.add(name: "content-type", value: body.type)
      request.body = .bytes(ByteBuffer(bytes: body.bytes))
    }
    let status: UInt
    let bytes: [UInt8]
    do {
      let response = try await http.execute(request, timeout: Self.timeout)
      status = response.status.code
      bytes = Array(try await response.body.collect(upTo: Self.maximumAnswerBytes).readableBytesView)
    } catch {
      throw .unreachable("the runtime at \(baseURL) does not answer: \(error)")
    }
    let limits = JSONLimits(maximumBytes: Self.maximumAnswerBytes, maximumDepth: 64, maximumNodes: 5_000_000)
    let json: JSONValue? = bytes.isEmpty ? [:] : try? JSONValue(parsing: bytes, limits: limits)
    guard (200..<300).contains(status) else {
      let why = json?["detail"]?.string ?? json?["error_description"]?.string ?? "no reason was given"
      switch status {
      case 404: throw .notFound
      case 409: throw .conflict(why)
      case 400, 422: throw .invalid(why)
      case 401, 403: throw .unauthorized
      default: throw .unreachable("the runtime answered \(method.rawValue) \(path) with \(status): \(why)")
      }
    }
    guard let json else { throw .unreachable("the runtime's answer to \(method.rawValue) \(path) is not JSON") }
    return json
  }
}
