import CASACore

extension RefusalReason {
  /// What `WWW-Authenticate` says of a refused token (RFC 6750 section 3); nil for reasons that are not the token's.
  /// The status stays 403 all the same: it is the caller's sidecar that lacks the token, not an app that could get one.
  var bearerChallenge: String? {
    switch self {
    case .tokenMissing: #"Bearer realm="casa""#
    case .tokenMalformed, .tokenInactive, .tokenSpent, .tokenNotForThisApp, .tokenNotForThisCall:
      #"Bearer realm="casa", error="invalid_token""#
    case .insufficientScope: #"Bearer realm="casa", error="insufficient_scope""#
    default: nil
    }
  }
}
