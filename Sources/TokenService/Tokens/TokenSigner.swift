import AgentProtocols
import CASACore
import Crypto

/// Signs claims with the current key.
struct TokenSigner: Sendable {
  let keys: SigningKeys

  /// - Throws: `OAuthError` when the token would be larger than any reader accepts.
  func sign(_ claims: TokenClaims) throws(OAuthError) -> IssuedToken {
    let key = keys.current
    let input = key.encodedHeader + "." + Base64URL.encode(claims.json.canonicalBytes)
    guard let signature = try? key.signature(of: Array(input.utf8)) else {
      throw OAuthError(.serverError, "the token could not be signed")
    }
    let compact = input + "." + Base64URL.encode(signature)
    guard compact.utf8.count <= TokenVerifier.maximumTokenBytes else {
      throw OAuthError(.invalidRequest, "the token would exceed 8192 bytes; ask for fewer tools with `tools`")
    }
    return IssuedToken(compact: compact, claims: claims, hash: UnverifiedToken(compact).hash)
  }
}
