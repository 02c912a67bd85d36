public import CASACore

/// A token whose signature, form and times were found good by `TokenVerifier`, which alone makes one. Whether
/// it was revoked or spent since is a separate question. A class, since it is handed around more often than made.
public final class VerifiedToken: Sendable {
  public let claims: TokenClaims
  public let hash: TokenHash

  init(claims: TokenClaims, hash: TokenHash) {
    self.claims = claims
    self.hash = hash
  }
}

/// A token that was just signed, with the text that its holder gets.
public struct IssuedToken: Sendable {
  public let compact: String
  public let claims: TokenClaims
  public let hash: TokenHash
}
