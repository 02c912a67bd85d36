public import CASACore
import Synchronization

/// Which tokens the runtime called active, remembered for 30 s and never beyond the token's life; that one is
/// inactive, for 2 s. Bounded: when it is full, what was not used lately is asked about again.
///
/// What an active token says is read from the token itself, so nothing but its name is kept.
public final class ActiveTokens: Sendable {
  /// How long it is remembered that a token is active, at most until the token ends.
  public static let activeFor = Duration.seconds(30)
  /// How long it is remembered that a token is not active.
  public static let inactiveFor = Duration.seconds(2)
  public static let capacity = 100_000

  private struct Entry: Sendable {
    let until: Timestamp
    /// A hash of the session whose revocation ends it. Should another session have the same, this one is asked about
    /// once more.
    let session: Int32
    let isActive: Bool
  }

  private struct State {
    var entries: GenerationalCache<TokenHash, Entry>
    var forgettings: UInt64 = 0
  }

  private let state: Mutex<State>
  private let clock: WallClock

  public init(capacity: Int = ActiveTokens.capacity, clock: WallClock) {
    state = Mutex(State(entries: GenerationalCache(capacity: capacity)))
    self.clock = clock
  }

  /// nil for a token of which nothing is known now.
  public func isActive(_ hash: TokenHash) -> Bool? { activity(of: hash)?.isActive }

  /// How long what is known of the token holds.
  public func activity(of hash: TokenHash) -> (isActive: Bool, until: Timestamp)? {
    let now = clock.now()
    return state.withLock { state in
      guard let entry = state.entries[hash] else { return nil }
      // Longer than it can hold: the clock was set back, which makes nothing last longer.
      guard entry.until > now, entry.until <= now + Self.activeFor else {
        state.entries[hash] = nil
        return nil
      }
      return (entry.isActive, entry.until)
    }
  }

  /// How often something was forgotten. Whoever asks the runtime looks before, and keeps the answer with it: one that a
  /// revocation overtook is not kept.
  public var forgettings: UInt64 { state.withLock { $0.forgettings } }

  /// - Parameters:
  ///   - claims: of a token that the runtime called active; nil for one that it called inactive.
  ///   - forgettings: as it was before the runtime was asked.
  public func keep(_ claims: TokenClaims?, for hash: TokenHash, askedAt forgettings: UInt64) {
    let now = clock.now()
    let until = claims.map { min(now + Self.activeFor, $0.expiresAt) } ?? now + Self.inactiveFor
    state.withLock { state in
      guard state.forgettings == forgettings else { return }
      state.entries[hash] = Entry(
        until: until, session: Self.hash(claims?.userInputID), isActive: claims != nil)
    }
  }

  public func keep(isActive: Bool, until: Timestamp, session: UserInputID?, for hash: TokenHash) {
    state.withLock { $0.entries[hash] = Entry(until: until, session: Self.hash(session), isActive: isActive) }
  }

  /// Forgets all tokens of these sessions: one of each was revoked.
  public func forget(_ sessions: Set<UserInputID>) {
    let hashes = Set(sessions.map(Self.hash))
    state.withLock { state in
      state.forgettings &+= 1
      state.entries.removeAll { _, entry in hashes.contains(entry.session) }
    }
  }

  public func forgetAll() {
    state.withLock { state in
      state.forgettings &+= 1
      state.entries.removeAll { _, _ in true }
    }
  }

  private static func hash(_ session: UserInputID?) -> Int32 { Int32(truncatingIfNeeded: session.hashValue) }
}
