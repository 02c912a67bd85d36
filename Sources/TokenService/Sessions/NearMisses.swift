import CASACore

/// How often the checks of intent refused a call of a session, and how long its next calls wait for it: somebody who
/// tries until one passes gets few tries, and slowly.
struct NearMisses: Sendable, Hashable {
  private static let firstPause = Duration.seconds(1)
  private static let longestPause = Duration.seconds(60)

  private(set) var count = 0
  private var last: Timestamp?

  /// Counts one more.
  mutating func record(at now: Timestamp) {
    count += 1
    last = max(last ?? now, now)
  }

  /// Takes in what is known elsewhere of the same session; nothing is taken back.
  mutating func merge(_ other: NearMisses) {
    count = max(count, other.count)
    last = [last, other.last].compactMap(\.self).max()
  }

  /// How long calls have to wait still, in whole seconds; nil when they don't. It doubles with each near miss and is
  /// never longer than a minute.
  func pause(at now: Timestamp) -> Int? {
    guard let last else { return nil }
    let pause = min(Self.firstPause * (1 << min(count - 1, 16)), Self.longestPause)
    // A clock that was set back makes nobody wait longer.
    let rest = min(pause.wholeMilliseconds, (last + pause).milliseconds - now.milliseconds)
    return rest > 0 ? Int((rest + 999) / 1000) : nil
  }
}
