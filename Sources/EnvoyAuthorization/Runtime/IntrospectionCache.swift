import CASACore
import Synchronization

/// Answers of introspection, kept for 30 s and never beyond the token's life; that a token is inactive, for 2 s.
final class IntrospectionCache: Sendable {
  static let activeFor = Duration.seconds(30)
  static let inactiveFor = Duration.seconds(2)
  static let capacity = 50_000

  private struct Entry: Sendable {
    let claims: TokenClaims?
    let until: Timestamp
  }

  private let entries = Mutex(GenerationalCache<TokenHash, Entry>(capacity: capacity))
  private let clock: WallClock

  init(clock: WallClock) { self.clock = clock }

  /// The outer nil is for an unknown token, the inner one for an inactive.
  subscript(hash: TokenHash) -> TokenClaims?? {
    let now = clock.now()
    return entries.withLock { entries in
      guard let entry = entries[hash] else { return nil }
      guard entry.until > now else {
        entries[hash] = nil
        return nil
      }
      return .some(entry.claims)
    }
  }

  func keep(_ claims: TokenClaims?, for hash: TokenHash) {
    let now = clock.now()
    let until = claims.map { min(now + Self.activeFor, $0.expiresAt) } ?? now + Self.inactiveFor
    entries.withLock { $0[hash] = Entry(claims: claims, until: until) }
  }
}
