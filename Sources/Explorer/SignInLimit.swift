internal import CASACore
internal import Synchronization

/// Bounds how often a credential may be tried: ten times a minute, whoever tries.
final class SignInLimit: Sendable {
  static let attempts = 10
  private static let window = Duration.seconds(60)

  private let clock: WallClock
  private let recent = Mutex<[Timestamp]>([])

  init(clock: WallClock) { self.clock = clock }

  /// Whether one more attempt may be made now; it then counts.
  func take() -> Bool {
    let now = clock.now()
    return recent.withLock { recent in
      recent.removeAll { $0 + Self.window <= now || $0 > now }
      guard recent.count < Self.attempts else { return false }
      recent.append(now)
      return true
    }
  }
}
