import CASACore
import Enforcement
import Synchronization

/// The tokens a workload got for what it does more than once in a session. One that was dropped is exchanged anew.
final class HeldTokens: Sendable {
  static let capacity = 20_000

  private struct Use: Hashable {
    let trace: TraceID
    let purpose: TokenPurpose
  }

  private let tokens: Mutex<GenerationalCache<Use, HeldToken>>
  private let clock: WallClock

  init(capacity: Int = HeldTokens.capacity, clock: WallClock) {
    tokens = Mutex(GenerationalCache(capacity: capacity))
    self.clock = clock
  }

  /// A token that is good for a few seconds more and came from the session's present token.
  func held(_ purpose: TokenPurpose, in trace: TraceID, from parent: TokenHash) -> HeldToken? {
    let limit = clock.now() + .seconds(2)
    return tokens.withLock { tokens in
      guard let held = tokens[Use(trace: trace, purpose: purpose)], held.expiresAt > limit, held.parent == parent
      else { return nil }
      return held
    }
  }

  func hold(_ token: HeldToken, for purpose: TokenPurpose, in trace: TraceID) {
    tokens.withLock { $0[Use(trace: trace, purpose: purpose)] = token }
  }
}
