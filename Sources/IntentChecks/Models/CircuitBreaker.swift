/// Leaves a server alone that failed several times in a row, and lets one request find out whether it is back.
///
/// A value without a clock: whoever holds it says what time it is.
struct CircuitBreaker: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// To be given back exactly once, by `record`.
  struct Permit: Sendable, Hashable {
    fileprivate let era: Int
    /// Whether this is the one request that finds out.
    let isProbe: Bool
  }

  enum Outcome: Sendable, Hashable, CaseIterable {
    case succeeded, failed
    /// Nothing can be said of the server: whoever asked went away.
    case unknown
  }

  private enum State: Sendable, Hashable {
    case closed(failuresInARow: Int)
    case open(until: Instant)
    case halfOpen
  }

  /// So many failures in a row open it.
  let threshold: Int
  /// How long it is open first; twice as long after each failed probe.
  let shortestPause: Duration
  let longestPause: Duration
  private var state = State.closed(failuresInARow: 0)
  private var pause: Duration
  /// Counts the changes of state: what was sent before one says nothing after it.
  private var era = 0

  init(threshold: Int = 5, shortestPause: Duration = .seconds(1), longestPause: Duration = .seconds(30)) {
    self.threshold = max(1, threshold)
    self.shortestPause = shortestPause
    self.longestPause = max(shortestPause, longestPause)
    pause = shortestPause
  }

  /// nil when the server is to be left alone.
  mutating func admit(at now: Instant) -> Permit? {
    switch state {
    case .closed: return Permit(era: era, isProbe: false)
    case .halfOpen: return nil
    case .open(let until):
      guard now >= until else { return nil }
      change(to: .halfOpen)
      return Permit(era: era, isProbe: true)
    }
  }

  mutating func record(_ outcome: Outcome, of permit: Permit, at now: Instant) {
    guard permit.era == era else { return }
    switch (state, outcome) {
    case (.closed, .succeeded): state = .closed(failuresInARow: 0)
    case (.closed(let failures), .failed):
      if failures + 1 >= threshold {
        pause = shortestPause
        change(to: .open(until: now + pause))
      } else {
        state = .closed(failuresInARow: failures + 1)
      }
    case (.halfOpen, .succeeded): change(to: .closed(failuresInARow: 0))
    case (.halfOpen, .failed):
      pause = min(pause * 2, longestPause)
      change(to: .open(until: now + pause))
    // Another may find out.
    case (.halfOpen, .unknown): change(to: .open(until: now))
    case (.closed, .unknown), (.open, _): break
    }
  }

  private mutating func change(to state: State) {
    self.state = state
    era += 1
  }
}
