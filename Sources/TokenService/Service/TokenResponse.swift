public import CASACore

/// A successful answer of the token endpoint (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
public struct TokenResponse: Sendable {
  public let token: IssuedToken
  /// What the checks said, for a T3.
  public let decision: Decision?
  /// Whether whoever makes the call that a T3 is for must report what comes of it, before the app gets it.
  public var reportsResult = false

  public var json: JSONValue {
    let claims = token.claims
    var members: [String: JSONValue] = [
      "access_token": .string(token.compact), "token_type": "Bearer",
      "issued_token_type": .string(ExchangeRequest.accessTokenType),
      "expires_in": .number(Double(claims.expiresAt.seconds - claims.issuedAt.seconds)),
      "scope": .string(claims.scope.rawValue),
    ]
    if let id = claims.userInputID { members["user_input_id"] = .string(id.rawValue) }
    if let id = claims.traceID { members["trace_id"] = .string(id.text) }
    if let call = claims.call { members["authorization_details"] = [call.json] }
    if let decision { members["decision_id"] = .string(decision.id.rawValue) }
    if reportsResult { members["casa_report_result"] = true }
    return .object(members)
  }
}
