import AgentProtocols
import CASACore
import Synchronization

/// Verifies tokens of our own making (RFC 7519, RFC 8725, RFC 9068 section 4) and remembers good ones by hash.
final class TokenVerifier: Sendable {
  /// How far another clock may be off.
  static let clockSkew = Duration.seconds(30)
  static let maximumTokenBytes = 8192

  private let keys: SigningKeys
  private let issuer: String
  private let clock: WallClock
  private let verified = Mutex(GenerationalCache<TokenHash, TokenClaims>(capacity: 50_000))

  init(keys: SigningKeys, issuer: String, clock: WallClock) {
    self.keys = keys
    self.issuer = issuer
    self.clock = clock
  }

  /// nil for any token that is not one of ours, alive now.
  func verify(_ token: UnverifiedToken) -> VerifiedToken? {
    let claims: TokenClaims
    if let known = verified.withLock({ $0[token.hash] }) {
      claims = known
    } else {
      guard let fresh = verifySignature(of: token) else { return nil }
      verified.withLock { $0[token.hash] = fresh }
      claims = fresh
    }
    let now = clock.now()
    // Expiry gets no skew: our own clock signed it. `nbf` gets it, for a replica whose clock is ahead.
    guard claims.expiresAt > now, claims.notBefore <= now + Self.clockSkew, claims.issuedAt <= now + Self.clockSkew
    else { return nil }
    return VerifiedToken(claims: claims, hash: token.hash)
  }

  /// Spares the verification of a token that was signed here.
  func remember(_ token: IssuedToken) { verified.withLock { $0[token.hash] = token.claims } }

  private func verifySignature(of token: UnverifiedToken) -> TokenClaims? {
    guard let jws = try? CompactJWS(parsing: token.compact, maximumBytes: Self.maximumTokenBytes),
      jws.header["typ"]?.string == "at+jwt", let kid = jws.header["kid"]?.string.flatMap({ SigningKeyID(validating: $0) }),
      let key = keys.verifyingKey(kid), jws.header["alg"]?.string == key.algorithm.rawValue,
      // `jku`, `jwk`, `x5u` and the like have no say, and we never write them: refused rather than ignored.
      jws.header.object?.count == 3,
      key.isValid(signature: jws.signature, of: jws.signingInput),
      let claims = TokenClaims(json: jws.payload),
      claims.issuer == issuer
    else { return nil }
    return claims
  }
}
