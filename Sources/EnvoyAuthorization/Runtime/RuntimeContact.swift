import Synchronization

/// Whether the runtime answered what it was asked last.
final class RuntimeContact: Sendable {
  private let value = Atomic(false)
  private let isAway = Atomic(false)

  /// false until it has answered once.
  var isReachable: Bool { value.load(ordering: .relaxed) }

  /// It gave an answer.
  /// - Parameter isAble: whether it could do what it was asked for.
  /// - Returns: whether it gave none to the question before.
  func answered(isAble: Bool) -> Bool {
    value.store(isAble, ordering: .relaxed)
    return isAway.exchange(false, ordering: .relaxed)
  }

  /// It gave no answer.
  /// - Returns: whether that is news: it answered the question before, or this was the first.
  func gaveNoAnswer() -> Bool {
    value.store(false, ordering: .relaxed)
    return !isAway.exchange(true, ordering: .relaxed)
  }
}
