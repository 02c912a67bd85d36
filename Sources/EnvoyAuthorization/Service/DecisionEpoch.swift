import Synchronization

/// Counts up whenever something that was decided may no longer hold, such as when a token is revoked. Adapters then
/// forget every decision that they keep.
final class DecisionEpoch: Sendable {
  private let value: Atomic<UInt64>

  init(startingAt: UInt64) { value = Atomic(startingAt) }

  var current: UInt64 { value.load(ordering: .acquiring) }

  func advance() { value.add(1, ordering: .acquiringAndReleasing) }
}
