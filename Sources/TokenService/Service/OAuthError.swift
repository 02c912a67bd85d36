public import CASACore

/// A refusal at an OAuth endpoint (RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 9396 section 5).
public struct OAuthError: Error, Sendable {
  public enum Code: String, Sendable {
    case invalidRequest = "invalid_request"
    case invalidClient = "invalid_client"
    case unauthorizedClient = "unauthorized_client"
    case unsupportedGrantType = "unsupported_grant_type"
    case invalidScope = "invalid_scope"
    case invalidTarget = "invalid_target"
    case invalidAuthorizationDetails = "invalid_authorization_details"
    case accessDenied = "access_denied"
    case temporarilyUnavailable = "temporarily_unavailable"
    case serverError = "server_error"
  }

  public let code: Code
  /// What was expected and what to do; never a secret, token or prompt.
  public let description: String
  public let reason: RefusalReason?
  public let decisionID: DecisionID?
  /// After how many seconds it makes sense to try again; nil when nothing is known of that.
  public let retryAfter: Int?

  public init(
    _ code: Code, _ description: String, reason: RefusalReason? = nil, decisionID: DecisionID? = nil,
    retryAfter: Int? = nil
  ) {
    self.code = code
    self.description = description
    self.reason = reason
    self.decisionID = decisionID
    self.retryAfter = retryAfter
  }

  public var status: Int {
    switch code {
    case .invalidClient: 401
    case .accessDenied: 403
    case .temporarilyUnavailable: 503
    case .serverError: 500
    default: 400
    }
  }
}
