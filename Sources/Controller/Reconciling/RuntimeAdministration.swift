import AgentProtocols
package import AsyncHTTPClient
import CASACore
import NIOCore
import NIOHTTP1

/// The runtime's HTTP API as an administrator uses it.
package struct RuntimeAdministration: Sendable {
  private let http: HTTPClient
  private let baseURL: String
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

  func send(
    _ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil
  ) async throws(RuntimeFailure) -> JSONValue {
    var request = HTTPClientRequest(url: baseURL + path)
    request.method = method
    request.headers.add(name: "authorization", value: "Bearer " + credential)
    if let body {
      request.headers.add(name: "content-type", value: "application/json")
      request.body = .bytes(ByteBuffer(bytes: body.canonicalBytes))
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

/// Why the runtime did not do what it was asked.
package enum RuntimeFailure: Error, Sendable, Hashable, CustomStringConvertible {
  case notFound
  /// Something of that name is there already.
  case conflict(String)
  /// It will never take this.
  case invalid(String)
  /// It does not know the administrator's credential.
  case unauthorized
  /// It may take it later.
  case unreachable(String)

  package var description: String {
    switch self {
    case .notFound: "the runtime knows no such thing"
    case .conflict(let why), .invalid(let why): "the runtime refuses it: \(why)"
    case .unauthorized: "the runtime does not know the administrator's credential; check --admin-credential-file"
    case .unreachable(let why): why
    }
  }
}
