/// How long to wait before asking again: twice as long each time, and never all at once.
struct Backoff: Sendable, Hashable {
  var first = Duration.milliseconds(100)
  var longest = Duration.seconds(2)

  /// - Parameters:
  ///   - attempt: how many failed so far, at least 1.
  ///   - jitter: a random number from 0 to 1.
  ///   - retryAfter: what the server asked for, which is waited for in any case.
  func pause(after attempt: Int, jitter: Double, retryAfter: Duration? = nil) -> Duration {
    let doublings = min(max(attempt - 1, 0), 16)
    let step = min(first * (1 << doublings), longest)
    let pause = step * (0.5 + 0.5 * min(max(jitter, 0), 1))
    return max(retryAfter ?? .zero, .zero) + pause
  }

  /// The seconds of a `Retry-After` (RFC 9110 section 10.2.3), at most a day; nil when it is a date or no number. Then
  /// the usual pause has to do.
  static func retryAfter(_ text: String?) -> Duration? {
    guard let text, (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let seconds = Int(text)
    else { return nil }
    return .seconds(min(seconds, 86_400))
  }
}
