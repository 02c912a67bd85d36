import AgentProtocols
import Crypto

/// A secret of 256 random bits, shown once and stored only as a salted SHA-256. A slow hash would add nothing:
/// such a secret can't be guessed, only stolen.
public struct ClientSecret: Sendable {
  public let text: String

  static func generate() -> ClientSecret {
    ClientSecret(text: "cs_" + Base64URL.encode(randomBytes(32)))
  }

  func hashed() -> HashedSecret {
    let salt = Base64URL.encode(randomBytes(16))
    return HashedSecret(salt: salt, hash: HashedSecret.hash(text, salt: salt))
  }
}

struct HashedSecret: Sendable, Hashable {
  let salt: String
  let hash: String

  /// Compares in constant time.
  func matches(_ candidate: String) -> Bool { constantTimeEqual(Self.hash(candidate, salt: salt), hash) }

  static func hash(_ secret: String, salt: String) -> String {
    var sha = SHA256()
    sha.update(data: Array(salt.utf8))
    sha.update(data: [0])
    sha.update(data: Array(secret.utf8))
    return Base64URL.encode(Array(sha.finalize()))
  }
}

func randomBytes(_ count: Int) -> [UInt8] {
  var generator = SystemRandomNumberGenerator()
  return (0..<count).map { _ in generator.next() }
}

/// Compares without stopping at the first difference; only the lengths may show.
func constantTimeEqual(_ a: String, _ b: String) -> Bool {
  guard a.utf8.count == b.utf8.count else { return false }
  var difference: UInt8 = 0
  for (x, y) in zip(a.utf8, b.utf8) { difference |= x ^ y }
  return difference == 0
}
