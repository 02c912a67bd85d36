import CEnvoyModule
import Synchronization

/// Calls Envoy's main thread a little after it was asked to, so that records go in batches.
final class DeliveryPacer: Sendable {
  /// The address of Envoy's scheduler, which any thread may use while it is there; 0 when it is gone.
  private let scheduler: Mutex<UInt>
  private let isWaiting = Atomic(false)
  private let pause: @Sendable (DeliveryPacer) -> Void

  /// - Parameters:
  ///   - scheduler: taken over; freed by `stop`.
  ///   - pause: calls `fire` later.
  init(
    scheduler: UnsafeMutableRawPointer,
    pause: @escaping @Sendable (DeliveryPacer) -> Void = { PauseThread.shared.add($0) }
  ) {
    self.scheduler = Mutex(UInt(bitPattern: scheduler))
    self.pause = pause
  }

  func schedule() {
    if !isWaiting.exchange(true, ordering: .acquiringAndReleasing) { pause(self) }
  }

  /// The pause is over.
  func fire() {
    isWaiting.store(false, ordering: .releasing)
    scheduler.withLock { scheduler in
      guard let pointer = UnsafeMutableRawPointer(bitPattern: scheduler) else { return }
      envoy_dynamic_module_callback_http_filter_config_scheduler_commit(pointer, 0)
    }
  }

  /// No call is made after this.
  func stop() {
    scheduler.withLock { scheduler in
      guard let pointer = UnsafeMutableRawPointer(bitPattern: scheduler) else { return }
      envoy_dynamic_module_callback_http_filter_config_scheduler_delete(pointer)
      scheduler = 0
    }
  }
}
