/// How many requests may be repeated: one for every five sent first, and a few beforehand, so that a server in trouble
/// doesn't get much more to do for being in trouble.
struct RetryBudget: Sendable {
  /// Before anything was sent, so that a rare question can be repeated too.
  static let reserve = 5
  /// What is saved up in good times is no more than this.
  static let capacity = 10
  static let requestsPerRetry = 5

  /// In fifths of a retry.
  private var fifths = reserve * requestsPerRetry

  /// A request was sent for the first time.
  mutating func deposit() { fifths = min(fifths + 1, Self.capacity * Self.requestsPerRetry) }

  /// Whether one may be repeated, which it then has to be.
  mutating func withdraw() -> Bool {
    guard fifths >= Self.requestsPerRetry else { return false }
    fifths -= Self.requestsPerRetry
    return true
  }
}
