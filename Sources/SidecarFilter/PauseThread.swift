import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The one thread that sleeps for all filters of the process, since Envoy gives a module no timer. It costs nothing
/// while nothing waits.
final class PauseThread: Sendable {
  static let shared = PauseThread()
  /// What was decided here is recorded so much later. The contact that each delivery renews lasts ten times as long.
  private static let microseconds: useconds_t = 100_000

  private let waiting = Mutex<[DeliveryPacer]>([])
  /// Never freed, and any thread may use it: a semaphore is made for that.
  private nonisolated(unsafe) let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  /// Whether there is such a thread; without one, nothing is paced.
  private let isRunning = Atomic(false)

  private init() {
    semaphore.initialize(to: sem_t())
    guard sem_init(semaphore, 0, 0) == 0 else { return }
    var thread = pthread_t()
    let begin: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { _ in PauseThread.shared.run() }
    guard pthread_create(&thread, nil, begin, nil) == 0 else { return }
    pthread_detach(thread)
    isRunning.store(true, ordering: .releasing)
  }

  func add(_ pacer: DeliveryPacer) {
    guard isRunning.load(ordering: .acquiring) else { return pacer.fire() }
    let wasEmpty = waiting.withLock { waiting in
      waiting.append(pacer)
      return waiting.count == 1
    }
    if wasEmpty { sem_post(semaphore) }
  }

  private func run() -> Never {
    while true {
      while sem_wait(semaphore) != 0 {}
      usleep(Self.microseconds)
      let due = waiting.withLock { waiting in
        defer { waiting = [] }
        return waiting
      }
      for pacer in due { pacer.fire() }
    }
  }
}
