import AgentProtocols
public import CASACore
import Crypto

/// A token as it came, with what it says of itself: enough to refuse by. Only when the runtime called this very
/// token active are its claims true: then they are what the runtime signed.
public struct ClaimedToken: Sendable {
  public let compact: String
  public let hash: TokenHash
  public let claims: TokenClaims
  /// The value of `Authorization` it came in.
  let fieldValue: String

  /// - Throws: `Refusal` for text that is no token in the form the runtime writes.
  public init(compact: String, fieldValue: String = "") throws(Refusal) {
    guard let jws = try? CompactJWS(parsing: compact), let claims = TokenClaims(json: jws.payload) else {
      throw Refusal(.tokenMalformed, "`Authorization` does not hold one token of the runtime")
    }
    self.compact = compact
    self.claims = claims
    self.fieldValue = fieldValue
    hash = tokenHash(compact)
  }
}

/// How tokens are named where they may not appear.
public func tokenHash(_ compact: String) -> TokenHash { TokenHash(digest: SHA256.hash(data: Array(compact.utf8))) }

/// Lowercase hexadecimal SHA-256 of a text's UTF-8.
public func textDigest(_ text: String) -> String { lowercaseHex(SHA256.hash(data: Array(text.utf8))) }
