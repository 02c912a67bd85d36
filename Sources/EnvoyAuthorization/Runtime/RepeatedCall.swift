import CASACore
import Synchronization

/// A call that is made again and again, and how often it was since it was last recorded.
final class RepeatedCall: Sendable {
  /// As `RequestRecord.event` makes it.
  let event: JSONValue
  private let uses = Atomic(0)

  init(_ event: JSONValue) { self.event = event }

  /// Counts one more.
  /// - Returns: whether it is the first to be recorded.
  func use() -> Bool { uses.add(1, ordering: .relaxed).oldValue == 0 }

  /// How often it was made since this was asked last.
  func takeUses() -> Int { uses.exchange(0, ordering: .relaxed) }
}
