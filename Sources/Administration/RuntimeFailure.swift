/// Why the runtime did not do what it was asked.
package enum RuntimeFailure: Error, Sendable, Hashable, CustomStringConvertible {
  case notFound
  /// Something of that name is there already.
  case conflict(String)
  /// It will never take this.
  case invalid(String)
  /// It does not know the credentials.
  case unauthorized
  /// It may take it later.
  case unreachable(String)

  package var description: String {
    switch self {
    case .notFound: "the runtime knows no such thing"
    case .conflict(let why), .invalid(let why): "the runtime refuses it: \(why)"
    case .unauthorized:
      "the runtime does not know the credentials; an administrator's (--admin-credential-file) must be this runtime's"
    case .unreachable(let why): why
    }
  }
}
