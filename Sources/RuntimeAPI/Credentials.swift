import AgentProtocols
import CASACore
import HTTPTypes
import TokenService

extension HTTPFields {
  /// The one `Authorization` there is; nil when there is none.
  /// - Throws: `Refused` when there are several: two readers could take different ones.
  func authorization() throws(Refused) -> String? {
    let values = self[values: .authorization]
    guard values.count <= 1 else { throw Refused(.badRequest, "`Authorization` was sent \(values.count) times") }
    return values.first
  }
}

extension ClientCredentials {
  static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

  /// Finds the one way in which the client authenticates (RFC 6749 section 2.3, RFC 7521 section 4.2).
  init(authorization: String?, form: FormBody?) throws(OAuthError) {
    let assertion = form?["client_assertion"]
    let secret = form?["client_secret"]
    let claimed: AppID?
    if let id = form?["client_id"] {
      guard let valid = AppID(validating: id) else { throw OAuthError.unauthenticated }
      claimed = valid
    } else {
      claimed = nil
    }
    guard [authorization != nil, assertion != nil, secret != nil].count(where: { $0 }) == 1 else {
      guard authorization == nil, assertion == nil, secret == nil else {
        throw OAuthError(.invalidRequest, "the client must authenticate in exactly one way")
      }
      throw OAuthError.unauthenticated
    }
    if let authorization {
      guard let basic = BasicCredentials(headerValue: authorization), let id = AppID(validating: basic.userID),
        claimed == nil || claimed == id
      else { throw OAuthError.unauthenticated }
      self = .secret(client: id, secret: basic.password)
    } else if let secret, let claimed {
      self = .secret(client: claimed, secret: secret)
    } else if let assertion {
      guard form?["client_assertion_type"] == Self.assertionType else {
        throw OAuthError(.invalidRequest, "`client_assertion_type` must be \(Self.assertionType)")
      }
      self = .assertion(assertion, client: claimed)
    } else {
      throw OAuthError.unauthenticated
    }
  }
}
