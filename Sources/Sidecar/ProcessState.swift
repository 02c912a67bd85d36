import Synchronization

/// What is known of a program that is kept running.
public final class ProcessState: Sendable {
  private let started = Atomic(0)
  private let running = Atomic(false)

  public init() {}

  /// How often it was started.
  public var starts: Int { started.load(ordering: .relaxed) }
  public var isRunning: Bool { running.load(ordering: .relaxed) }

  func didStart() {
    started.add(1, ordering: .relaxed)
    running.store(true, ordering: .relaxed)
  }

  func didEnd() { running.store(false, ordering: .relaxed) }
}
