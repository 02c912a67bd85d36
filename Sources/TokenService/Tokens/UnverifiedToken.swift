public import CASACore
import Crypto

/// A compact JWT as it came from outside: nothing is known of it but its hash.
public struct UnverifiedToken: Sendable {
  let compact: String
  public let hash: TokenHash

  public init(_ compact: String) {
    self.compact = compact
    hash = TokenHash(digest: SHA256.hash(data: Array(compact.utf8)))
  }
}
