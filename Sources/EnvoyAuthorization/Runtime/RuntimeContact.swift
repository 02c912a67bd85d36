import Synchronization

/// Whether the runtime answered what it was asked last.
final class RuntimeContact: Sendable {
  private let value = Atomic(false)

  /// false until it has answered once.
  var isReachable: Bool {
    get { value.load(ordering: .relaxed) }
    set { value.store(newValue, ordering: .relaxed) }
  }
}
