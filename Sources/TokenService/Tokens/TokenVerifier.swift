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
  /// Enough for what is in use at once; a claim set takes 1 to 2 KB, and verifying again costs 60 µs.
  private let verified = Mutex(GenerationalCache<TokenHash, VerifiedToken>(capacity: 16_384))

  init(keys: SigningKeys, issuer: String, clock: WallClock) {
    self.keys = keys
    self.issuer = issuer
    self.clock = clock
  }

  /// nil for any token that is not one of ours, alive now.
  /// - Parameter lateness: for how long beyond its expiry a token still counts, as evidence of what it was issued for.
  func verify(_ token: UnverifiedToken, lateness: Duration = .zero) -> VerifiedToken? {
    let known = verified.withLock { $0[token.hash] }
    guard let found = known ?? verifySignature(of: token) else { return nil }
    let claims = found.claims
    let now = clock.now()
    // Expiry gets no skew: our own clock signed it. `nbf` gets it, for a replica whose clock is ahead.
    guard claims.expiresAt + lateness > now, claims.notBefore <= now + Self.clockSkew,
      claims.issuedAt <= now + Self.clockSkew
    else { return nil }
    if known == nil { verified.withLock { $0[token.hash] = found } }
    return found
  }

  /// Spares the verification of a token that was signed here.
  func remember(_ token: IssuedToken) {
    verified.withLock { $0[token.hash] = VerifiedToken(claims: token.claims, hash: token.hash) }
  }

  private func verifySignature(of token: UnverifiedToken) -> VerifiedToken? {
    guard let jws = try? CompactJWS(parsing: token.compact, maximumBytes: Self.maximumTokenBytes),
      jws.header["typ"]?.string == "at+jwt",
      let kid = jws.header["kid"]?.string.flatMap({ SigningKeyID(validating: $0) }),
      let key = keys.verifyingKey(kid), jws.header["alg"]?.string == key.algorithm.rawValue,
      // `jku`, `jwk`, `x5u` and the like have no say, and we never write them: refused rather than ignored.
      jws.header.object?.count == 3,
      key.isValid(signature: jws.signature, of: jws.signingInput),
      let claims = TokenClaims(json: jws.payload),
      claims.issuer == issuer
    else { return nil }
    return VerifiedToken(claims: claims, hash: token.hash)
  }
}
