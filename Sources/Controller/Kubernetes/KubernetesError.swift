import CASACore

/// Why the API server did not do what it was asked.
package enum KubernetesError: Error, Sendable, Hashable {
  case notFound
  /// The object was changed by somebody else meanwhile, or is not the one that was meant.
  case conflict
  case alreadyExists
  /// The resource version or the continuation is too old: list again.
  case gone
  case tooManyRequests(retryAfter: Duration?)
  /// The credentials are not known (401).
  case unauthorized
  /// The credentials do not allow it; the server says what is missing.
  case forbidden(String)
  /// The request can't be right, now or later.
  case invalid(String)
  /// Any other status.
  case server(status: Int)
  /// No whole answer came.
  case unreachable(String)
  /// What came is not what the API promises.
  case malformed(String)
  /// Whoever asked no longer waits.
  case cancelled

  /// What an answer other than 2xx, or an event `ERROR`, means.
  /// - Parameter status: the `Status` object that came with it, if one did.
  init(code: Int, status: JSONValue?, retryAfter: Duration? = nil) {
    let reason = status?["reason"]?.string ?? ""
    let message = String((status?["message"]?.string ?? "no reason was given").prefix(1024))
    switch code {
    case 401: self = .unauthorized
    case 403: self = .forbidden(message)
    case 404: self = .notFound
    case 409: self = reason == "AlreadyExists" ? .alreadyExists : .conflict
    case 410: self = .gone
    case 429: self = .tooManyRequests(retryAfter: retryAfter)
    case 400..<500: self = .invalid(message)
    default: self = .server(status: code)
    }
  }

  /// Whether the same request, sent again, may come to something.
  var mayPass: Bool {
    switch self {
    case .tooManyRequests, .unreachable: true
    case .server(let status): [500, 502, 503, 504].contains(status)
    default: false
    }
  }
}

extension KubernetesError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notFound: "there is no such object, or the API server does not know the resource"
    case .conflict: "the object was changed meanwhile"
    case .alreadyExists: "an object of this name exists"
    case .gone: "the API server no longer has what happened since then"
    case .tooManyRequests(let pause):
      "the API server wants fewer requests" + (pause.map { " for \($0.wholeMilliseconds / 1000) s" } ?? "")
    case .unauthorized: "the API server does not know the credentials"
    case .forbidden(let message): "the API server forbids it: \(message)"
    case .invalid(let message): "the API server can't take the request: \(message)"
    case .server(let status): "the API server answered \(status)"
    case .unreachable(let why): "the API server is not reached: \(why)"
    case .malformed(let what): "the API server's answer can't be read: \(what)"
    case .cancelled: "nobody waits for the answer any more"
    }
  }
}
