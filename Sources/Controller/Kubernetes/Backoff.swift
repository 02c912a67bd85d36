/// How long to wait before the next attempt: twice as long each time, and never many at once.
package struct Backoff: Sendable, Hashable {
  package var shortest: Duration
  package var longest: Duration

  package init(shortest: Duration, longest: Duration) {
    self.shortest = shortest
    self.longest = longest
  }

  /// - Parameters:
  ///   - failures: how many there were in a row, from 1.
  ///   - jitter: 0 to 1; the pause is the half of what is due and this part of the other half.
  package func pause(after failures: Int, jitter: Double = .random(in: 0...1)) -> Duration {
    var due = shortest
    var left = failures - 1
    while left > 0, due < longest {
      due *= 2
      left -= 1
    }
    return min(due, longest) * (0.5 + 0.5 * min(max(jitter, 0), 1))
  }
}
