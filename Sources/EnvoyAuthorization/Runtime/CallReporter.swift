import CASACore
import Enforcement
import Logging
import ServiceLifecycle
import Synchronization

/// Brings the record of requests to the runtime, in batches and beside the requests' way. What the runtime itself
/// decided is durable before it answers; these are the proxy's own decisions.
final class CallReporter: Sendable {
  private static let capacity = 10_000
  private static let batch = 100
  /// How many deliveries go by before one tells of repetitions too.
  private static let deliveriesBetweenRepetitions = 10

  private struct State {
    var waiting: [JSONValue] = []
    /// Of which there are uses to record.
    var repeated: [RepeatedCall] = []
    /// How many requests each of these events stands for: such as passed by what was remembered of the first, which is
    /// no news. They are told of once a second, since telling takes longer than deciding did.
    var repetitions: [JSONValue: Int] = [:]
    var lost = LostReports()
    var lostInAll = 0

    mutating func lose(_ count: Int) {
      lost.add(count)
      lostInAll += count
    }
  }

  private let state = Mutex(State())
  private let runtime: RuntimeClient
  private let logger: Logger

  init(runtime: RuntimeClient, logger: Logger) {
    self.runtime = runtime
    self.logger = logger
  }

  /// How many reports the runtime does not have yet.
  var waiting: Int { state.withLock { $0.waiting.count + $0.repeated.count + $0.repetitions.count } }
  /// How many it will never have.
  var lost: Int { state.withLock { $0.lostInAll } }

  /// - Parameters:
  ///   - event: as `RequestRecord.event` makes it.
  ///   - count: how many requests it stands for.
  func report(_ event: JSONValue, count: Int = 1) {
    state.withLock { state in
      if count > 1 {
        let isKnown = state.repetitions[event] != nil
        guard isKnown || state.repetitions.count < Self.capacity else { return state.lose(count) }
        state.repetitions[event, default: 0] += count
      } else if state.waiting.count < Self.capacity {
        state.waiting.append(event)
      } else {
        state.lose(1)
      }
    }
  }

  /// So many requests will never be described: nothing had room for them.
  func lose(_ count: Int) { state.withLock { $0.lose(count) } }

  /// One more of these was let pass.
  func report(_ call: RepeatedCall) {
    guard call.use() else { return }
    state.withLock { state in
      if state.repeated.count < Self.capacity { state.repeated.append(call) } else { state.lose(call.takeUses()) }
    }
  }

  /// Delivers until cancelled, and what is left then.
  func run() async {
    var round = 0
    while !Task.isCancelled {
      round += 1
      if round.isMultiple(of: Self.deliveriesBetweenRepetitions) { tellOfRepetitions() }
      await deliver()
      do { try await Task.sleep(for: .milliseconds(100)) } catch { break }
    }
    tellOfRepetitions()
    // A new task: the cancelled one could not wait for the network.
    await Task { await self.deliver() }.value
  }

  /// Puts what was repeated among what waits to be delivered.
  private func tellOfRepetitions() {
    let repeated = state.withLock { exchange(&$0.repeated, with: []) }
    for call in repeated { report(call.event, count: call.takeUses()) }
    state.withLock { state in
      for (event, count) in exchange(&state.repetitions, with: [:]) {
        guard state.waiting.count < Self.capacity, var members = event.object else {
          state.lose(count)
          continue
        }
        members["count"] = .number(Double(count))
        state.waiting.append(.object(members))
      }
    }
  }

  private func deliver() async {
    while true {
      let (events, lost) = state.withLock { ($0.waiting.prefix(Self.batch).map(\.self), $0.lost.news()) }
      if let lost {
        logger.error(
          "records of requests were lost: there are more than the runtime takes in", metadata: ["count": "\(lost)"])
      }
      if events.isEmpty { return }
      do {
        try await runtime.record(events)
        done(events.count)
      } catch  where error.reason != .runtimeUnavailable {
        // One that is refused must not take the others with it.
        for event in events {
          do {
            try await runtime.record([event])
          } catch {
            guard error.reason != .runtimeUnavailable else { return }
            logger.error("the runtime refused the record of a request", metadata: ["why": "\(error.explanation)"])
            state.withLock { $0.lostInAll += 1 }
          }
          done(1)
        }
      } catch {
        return
      }
    }
  }

  private func done(_ count: Int) {
    state.withLock { state in
      state.waiting.removeFirst(count)
      state.lost.reset()
    }
  }
}
