import AgentProtocols
import AsyncHTTPClient
import CASACore
import NIOCore
import NIOHTTP1

/// The runtime's HTTP API as an administrator, or a client, uses it.
struct RuntimeAdministration: Sendable {
  let http: HTTPClient
  /// Without a slash at its end.
  let baseURL: String
  let credential: String

  private static let timeout = TimeAmount.seconds(15)
  private static let maximumAnswerBytes = 8 << 20

  func get(_ path: String) async throws(LocalModeError) -> JSONValue {
    try await send(.GET, path, body: nil, authorization: "Bearer " + credential)
  }

  func post(_ path: String, _ body: JSONValue) async throws(LocalModeError) -> JSONValue {
    try await send(.POST, path, body: ("application/json", body.canonicalBytes), authorization: "Bearer " + credential)
  }

  func put(_ path: String, _ body: JSONValue) async throws(LocalModeError) -> JSONValue {
    try await send(.PUT, path, body: ("application/json", body.canonicalBytes), authorization: "Bearer " + credential)
  }

  /// Posts a form as a client.
  func post(
    _ path: String, form: [(String, String)], as client: ClientIdentity
  ) async throws(LocalModeError) -> JSONValue {
    try await send(
      .POST, path, body: ("application/x-www-form-urlencoded", FormBody.encode(form)),
      authorization: client.authorization)
  }

  /// Posts JSON as a client.
  func post(_ path: String, _ body: JSONValue, as client: ClientIdentity) async throws(LocalModeError) -> JSONValue {
    try await send(
      .POST, path, body: ("application/json", body.canonicalBytes), authorization: client.authorization)
  }

  private func send(
    _ method: HTTPMethod, _ path: String, body: (type: String, bytes: [UInt8])?, authorization: String
  ) async throws(LocalModeError) -> JSONValue {
    var request = HTTPClientRequest(url: baseURL + path)
    request.method = method
    request.headers.add(name: "authorization", value: authorization)
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
      throw LocalModeError("the runtime at \(baseURL) does not answer: \(error)")
    }
    guard (200..<300).contains(status) else {
      let json = try? JSONValue(parsing: bytes)
      let why = json?["error_description"]?.string ?? json?["detail"]?.string ?? "no reason was given"
      throw LocalModeError("the runtime answered \(method.rawValue) \(path) with \(status): \(why)")
    }
    if bytes.isEmpty { return [:] }
    let limits = JSONLimits(maximumBytes: Self.maximumAnswerBytes, maximumDepth: 64, maximumNodes: 500_000)
    guard let json = try? JSONValue(parsing: bytes, limits: limits) else {
      throw LocalModeError("the runtime's answer to \(method.rawValue) \(path) is not JSON")
    }
    return json
  }
}

/// Something on this machine did not do what the local system needs.
public struct LocalModeError: Error, Sendable, CustomStringConvertible {
  /// What was expected, what came and where to look; never a secret.
  public let description: String

  public init(_ description: String) { self.description = description }
}
