import AgentProtocols
import CASACore
import Storage

/// Verifies client credentials.
struct ClientAuthentication: Sendable {
  /// How far ahead an assertion may expire.
  static let maximumAssertionLifetime = Duration.seconds(300)

  let registry: Registry
  let storage: any StorageDriver
  let audiences: Set<String>
  let clock: WallClock

  func authenticate(_ credentials: ClientCredentials) async throws(OAuthError) -> AuthenticatedClient {
    switch credentials {
    case .secret(let id, let secret):
      let app = registry.app(id)
      // An unknown client costs the same comparison as a known one.
      let hashed = app?.secret ?? HashedSecret(salt: "", hash: HashedSecret.hash("", salt: ""))
      let matches = hashed.matches(secret)
      guard let app, app.secret != nil, matches else { throw OAuthError.unauthenticated }
      return AuthenticatedClient(app: app)
    case .assertion(let compact, let claimed):
      return AuthenticatedClient(app: try await verify(assertion: compact, claimedClient: claimed))
    }
  }

  /// Takes a node's credentials beside those of clients. Only secrets: what is reported comes in JSON, and so does no
  /// assertion.
  func authenticateReporter(_ credentials: ClientCredentials) async throws(OAuthError) -> AuthenticatedReporter {
    guard case .secret(let id, let secret) = credentials, let node = registry.node(NodeID(id.rawValue)) else {
      return .client(try await authenticate(credentials))
    }
    guard node.secret.matches(secret) else { throw OAuthError.unauthenticated }
    return .node(AuthenticatedNode(node: node))
  }

  private func verify(assertion compact: String, claimedClient: AppID?) async throws(OAuthError) -> App {
    guard let jws = try? CompactJWS(parsing: compact, maximumBytes: 8192),
      let issuer = jws.payload["iss"]?.string.flatMap({ AppID(validating: $0) }),
      jws.payload["sub"]?.string == issuer.rawValue,
      claimedClient == nil || claimedClient == issuer, let app = registry.app(issuer),
      let key = app.assertionKey(kid: jws.header["kid"]?.string),
      jws.header["alg"]?.string == key.algorithm.rawValue,
      key.isValid(signature: jws.signature, of: jws.signingInput)
    else { throw OAuthError.unauthenticated }
    let claims = jws.payload
    let audience: [String] = claims["aud"]?.string.map { [$0] } ?? claims["aud"]?.array?.compactMap(\.string) ?? []
    let now = clock.now()
    let latest = now + Self.maximumAssertionLifetime + TokenVerifier.clockSkew
    guard audience.contains(where: audiences.contains),
      let expiry = claims["exp"]?.integer, expiry > now.seconds - 30, expiry <= latest.seconds,
      (claims["nbf"]?.integer ?? 0) <= now.seconds + 30, (claims["iat"]?.integer ?? 0) <= now.seconds + 30,
      let jti = claims["jti"]?.string, (1...256).contains(jti.utf8.count), !jti.utf8.contains(0)
    else { throw OAuthError.unauthenticated }
    do {
      try await storage.commit([
        Statement(
          "INSERT INTO client_assertions (client_id, jti, expires_at) VALUES ($1, $2, $3)",
          [.text(app.id.rawValue), .text(jti), .integer((Timestamp(seconds: expiry) + .seconds(60)).milliseconds)],
          expectedChanges: 1)
      ])
    } catch .conflict {
      throw OAuthError.unauthenticated  // a replay
    } catch {
      throw OAuthError(.temporarilyUnavailable, "the client's assertion can't be recorded now; try again")
    }
    return app
  }
}

extension OAuthError {
  /// One answer for every cause, so that it is no oracle.
  public static let unauthenticated = OAuthError(
    .invalidClient,
    "client authentication failed; send client_secret_basic, client_secret_post or an unused private_key_jwt")
}
