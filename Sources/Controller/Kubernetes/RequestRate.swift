/// How many requests may be sent (a token bucket): `perSecond` in the long run, `burst` at once.
package struct RequestRate: Sendable, Hashable {
  package var perSecond: Double
  package var burst: Int

  package init(perSecond: Double = 200, burst: Int = 400) {
    self.perSecond = max(perSecond, 0.001)
    self.burst = max(burst, 1)
  }
}

/// What is left of a `RequestRate`. Who asks gets a turn and waits for it, so nobody is overtaken.
struct RequestBudget: Sendable {
  private let rate: RequestRate
  /// When the bucket would be full again if nobody asked any more.
  private var fullAt: ContinuousClock.Instant?

  init(_ rate: RequestRate) { self.rate = rate }

  /// Takes a turn, unless it would come later than `deadline`.
  /// - Returns: how long to wait for it; nil when it would be too late.
  mutating func take(at now: ContinuousClock.Instant, before deadline: ContinuousClock.Instant) -> Duration? {
    let interval = Duration.seconds(1) / rate.perSecond
    let next = max(fullAt ?? now, now) + interval
    let pause = max(next - now - interval * rate.burst, .zero)
    guard now + pause < deadline else { return nil }
    fullAt = next
    return pause
  }
}
