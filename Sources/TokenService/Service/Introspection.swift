public import CASACore

/// What introspection tells about a token (RFC 7662 section 2.2).
public enum Introspection: Sendable {
  case active(TokenClaims)
  /// Unknown, malformed, expired, revoked, spent, or not the caller's business: never which.
  case inactive

  public var json: JSONValue {
    switch self {
    case .inactive: return ["active": false]
    case .active(let claims):
      var members = claims.json.object ?? [:]
      members["active"] = true
      members["token_type"] = "Bearer"
      return .object(members)
    }
  }
}
