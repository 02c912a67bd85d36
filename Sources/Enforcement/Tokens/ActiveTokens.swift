public import CASACore
import Synchronization

/// Which tokens the runtime called active, remembered for 30 s and never beyond the token's life; that one is
/// inactive, for 2 s. Bounded: when it is full, what was not used lately is asked about again.
///
/// What an active token says is read from the token itself, so nothing but its name is kept.
public final class ActiveTokens: Sendable {
  public static let activeFor = Duration.seconds(30)
  public static let inactiveFor = Duration.seconds(2)
  public static let capacity = 100_000

  private struct Entry: Sendable {
    let until: Timestamp
    /// A hash of the session whose revocation ends it. Should another session have the same, this one is asked about
    /// once more.
    let session: Int32
    let isActive: Bool
  }

  private let entries: Mutex<GenerationalCache<TokenHash, Entry>>
  private let clock: WallClock

  public init(capacity: Int = ActiveTokens.capacity, clock: WallClock) {
    entries = Mutex(GenerationalCache(capacity: capacity))
    self.clock = clock
  }

  /// nil for a token of which nothing is known now.
  public func isActive(_ hash: TokenHash) -> Bool? { activity(of: hash)?.isActive }

  /// How long what is known of the token holds.
  public func activity(of hash: TokenHash) -> (isActive: Bool, until: Timestamp)? {
    let now = clock.now()
    return entries.withLock { entries in
      guard let entry = entries[hash] else { return nil }
      guard entry.until > now else {
        entries[hash] = nil
        return nil
      }
      return (entry.isActive, entry.until)
    }
  }

  /// - Parameter claims: of a token that the runtime called active; nil for one that it called inactive.
  public func keep(_ claims: TokenClaims?, for hash: TokenHash) {
    let now = clock.now()
    let until = claims.map { min(now + Self.activeFor, $0.expiresAt) } ?? now + Self.inactiveFor
    keep(isActive: claims != nil, until: until, session: claims?.userInputID, for: hash)
  }

  public func keep(isActive: Bool, until: Timestamp, session: UserInputID?, for hash: TokenHash) {
    entries.withLock { $0[hash] = Entry(until: until, session: Self.hash(session), isActive: isActive) }
  }

  /// Forgets all tokens of these sessions: one of each was revoked.
  public func forget(_ sessions: Set<UserInputID>) {
    let hashes = Set(sessions.map(Self.hash))
    entries.withLock { entries in entries.removeAll { _, entry in hashes.contains(entry.session) } }
  }

  private static func hash(_ session: UserInputID?) -> Int32 { Int32(truncatingIfNeeded: session.hashValue) }

  public func forgetAll() { entries.withLock { $0.removeAll { _, _ in true } } }
}
