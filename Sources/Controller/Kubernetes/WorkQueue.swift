import Synchronization

/// Keys to be worked on, each by one worker at a time, and again after a pause when it failed.
package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
  private let state = Mutex(WorkQueueState<Key>())
  private let backoff: Backoff
  private let signals: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  package init(backoff: Backoff = Backoff(shortest: .milliseconds(50), longest: .seconds(60))) {
    self.backoff = backoff
    (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Has `key` worked on as soon as possible. What is waiting already waits once only.
  package func add(_ key: Key) {
    state.withLock { $0.add(key) }
    signal.yield()
  }

  /// Has `key` worked on after `pause`, or earlier if it was to be anyway.
  package func add(_ key: Key, after pause: Duration) {
    guard pause > .zero else { return add(key) }
    state.withLock { $0.add(key, at: .now + pause) }
    signal.yield()
  }

  /// How many keys wait.
  package var waitingCount: Int { state.withLock { $0.waitingCount } }
  /// How many keys are worked on.
  package var workingCount: Int { state.withLock { $0.workingCount } }
  /// Whether no key waits or is worked on.
  package var isEmpty: Bool { state.withLock { $0.isEmpty } }

  /// Works until the task is cancelled, and returns when what was begun is done. To be called once.
  /// - Parameters:
  ///   - work: throws to be called again after a pause that grows; returns after how long it wants to be called again
  ///     anyway, nil for not before the key is added.
  package func run(
    concurrency: Int, _ work: @escaping @Sendable (Key) async throws -> Duration?
  ) async {
    await withDiscardingTaskGroup { group in
      var timer: (moment: ContinuousClock.Instant, task: Task<Void, Never>)?
      var signals = signals.makeAsyncIterator()
      while !Task.isCancelled {
        while workingCount < concurrency, let key = state.withLock({ $0.take(at: .now) }) {
          group.addTask { await self.finish(key, work) }
        }
        let due = state.withLock { $0.nextDue() }
        if timer?.moment != due {
          timer?.task.cancel()
          timer = due.map { moment in
            (
              moment,
              Task { [signal] in
                try? await Task.sleep(until: moment, clock: .continuous)
                if !Task.isCancelled { signal.yield() }
              }
            )
          }
        } else if let due, due <= .now {
          // All workers are busy; the next that is done looks again.
          timer = nil
        }
        guard await signals.next() != nil else { break }
      }
      timer?.task.cancel()
    }
  }

  private func finish(_ key: Key, _ work: @Sendable (Key) async throws -> Duration?) async {
    do {
      let pause = try await work(key)
      state.withLock { $0.succeed(key) }
      if let pause { add(key, after: pause) }
    } catch {
      state.withLock { state in state.fail(key, at: .now) { backoff.pause(after: $0) } }
    }
    signal.yield()
  }
}
