import CASACore
import Synchronization

/// The tokens a workload holds in its sessions. The app never sees any of them; a trace id chooses among those
/// that were delivered to this very workload, so knowing one gives nothing.
final class SessionTokens: Sendable {
  static let capacity = 50_000

  /// Within what a token was exchanged for.
  private struct Use: Hashable {
    let trace: TraceID
    let purpose: Purpose
  }

  enum Purpose: Hashable, Sendable {
    /// The T1 as it was delivered, or, for a client, issued to this workload.
    case session
    case call(AppID)
    case llm
  }

  struct Held: Sendable {
    let compact: String
    let hash: TokenHash
    let expiresAt: Timestamp
    let userInputID: UserInputID?
    /// The hash of the session's token it came from: an exchanged token is not used under another.
    let parent: TokenHash?
    /// Of the prompt a client's session began with.
    var promptDigest: String?
  }

  private let tokens = Mutex(GenerationalCache<Use, Held>(capacity: capacity))
  private let clock: WallClock

  init(clock: WallClock) { self.clock = clock }

  /// A token that is good for a few seconds more.
  func held(_ purpose: Purpose, in trace: TraceID) -> Held? {
    let limit = clock.now() + .seconds(2)
    return tokens.withLock { tokens in
      guard let held = tokens[Use(trace: trace, purpose: purpose)], held.expiresAt > limit else { return nil }
      return held
    }
  }

  func hold(_ token: Held, for purpose: Purpose, in trace: TraceID) {
    tokens.withLock { $0[Use(trace: trace, purpose: purpose)] = token }
  }
}
