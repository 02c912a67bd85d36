public import CASACore

/// How a client says who it is (RFC 6749 section 2.3, RFC 7523 section 2.2), as parsed and not yet verified.
public enum ClientCredentials: Sendable {
  case secret(client: AppID, secret: String)
  case assertion(String, client: AppID?)
}

/// A client whose credentials were found good; only `ClientAuthentication` makes one.
public struct AuthenticatedClient: Sendable {
  public let app: App
}
