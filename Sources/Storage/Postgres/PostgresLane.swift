import Dispatch
import Foundation
import Logging
import Synchronization

/// Work that waits for one of a few connections, each with a thread of its own that is blocked while the server works.
///
/// Work waits in the order in which it came, and not for long: where there is no connection, it is refused.
/// Connections are made when they are first needed, and made again for as long as there is none.
final class PostgresLane<Work: Sendable, Answer: Sendable>: Sendable {
  typealias Result = Swift.Result<Answer, StorageError>
  /// Carries out some work, and answers each. When it throws, none of the work took effect, and it is tried again over
  /// another connection.
  typealias Perform = @Sendable ([Work], PostgresConnection) throws(PostgresFailure) -> [Result]

  private struct Pending {
    let work: Work
    let since: ContinuousClock.Instant
    let completion: CheckedContinuation<Result, Never>
    var attempts = 0
  }

  private struct State {
    var pending: [Pending] = []
    /// The workers that wait for work.
    var idle: [Worker]
    var connections = 0
    /// Since when there has been no connection although one was wanted.
    var downSince: ContinuousClock.Instant?
    var lastError = "there was no connection in time"
    var isClosed = false
    var hasWarned = false

    /// Whether it is hopeless to wait for a connection.
    func isDown(_ now: ContinuousClock.Instant) -> Bool {
      downSince.map { now - $0 > PostgresLane.maximumWait } ?? false
    }
  }

  private final class Worker: Sendable {
    let queue = DispatchQueue(label: "casa.postgres")
    let connection = Mutex<PostgresConnection?>(nil)
  }

  /// More waiting work than this and new work is refused.
  private static var maximumPending: Int { 20_000 }
  /// How long work waits for a connection.
  private static var maximumWait: Duration { .seconds(2) }
  /// How often work is begun: a connection may turn out to be dead only when it is used.
  private static var maximumAttempts: Int { 2 }
  private static var firstPause: Double { 0.05 }
  private static var longestPause: Double { 2 }
  /// How long the next group is waited for when the last one held several.
  private static var gatheringSeconds: Double { 0.000_3 }

  private let workers: [Worker]
  private let maximumGroup: Int
  private let parameters: PostgresParameters
  private let logger: Logger
  private let perform: Perform
  private let state: Mutex<State>

  init(
    connections: Int, maximumGroup: Int, parameters: PostgresParameters, logger: Logger, perform: @escaping Perform
  ) {
    workers = (0..<connections).map { _ in Worker() }
    self.maximumGroup = maximumGroup
    self.parameters = parameters
    self.logger = logger
    self.perform = perform
    state = Mutex(State(idle: workers))
  }

  func submit(_ work: Work) async throws(StorageError) -> Answer {
    try await withCheckedContinuation { (completion: CheckedContinuation<Result, Never>) in
      let now = ContinuousClock.now
      let (refusal, woken) = state.withLock { state -> (StorageError?, Worker?) in
        if state.isClosed { return (.unavailable("it is closed"), nil) }
        if state.isDown(now) { return (.unavailable(state.lastError), nil) }
        if state.pending.count >= Self.maximumPending { return (.overloaded, nil) }
        state.pending.append(Pending(work: work, since: now, completion: completion))
        return (nil, state.idle.popLast())
      }
      if let refusal { completion.resume(returning: .failure(refusal)) }
      if let woken { woken.queue.async { [self] in drain(woken) } }
    }.get()
  }

  /// Waits for the work that was taken, and ends the connections.
  func close() async {
    state.withLock { $0.isClosed = true }
    for worker in workers {
      await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
        // A worker's queue is serial: what it was woken for is done before.
        worker.queue.async {
          worker.connection.withLock { $0 = nil }
          done.resume()
        }
      }
    }
  }

  private func drain(_ worker: Worker) {
    worker.connection.withLock { connection in
      var previous = 0
      var pause = Self.firstPause
      while true {
        if connection == nil {
          connection = connect(pause: &pause)
          guard connection != nil else {
            if rests(worker) { return }
            continue
          }
        }
        // Where several came while the last group was carried out, more are on their way, and share the next.
        if previous > 1, maximumGroup > 1 { Thread.sleep(forTimeInterval: Self.gatheringSeconds) }
        let group = take(for: worker)
        guard !group.isEmpty, let open = connection else { return }
        previous = group.count
        carryOut(group, over: open)
        if open.isBroken {
          connection = nil
          state.withLock { $0.connections -= 1 }
        }
      }
    }
  }

  /// The next work; none, and the worker rests.
  private func take(for worker: Worker) -> [Pending] {
    state.withLock { state in
      let group = Array(state.pending.prefix(maximumGroup))
      state.pending.removeFirst(group.count)
      if group.isEmpty { state.idle.append(worker) }
      return group
    }
  }

  private func carryOut(_ group: [Pending], over connection: PostgresConnection) {
    do throws(PostgresFailure) {
      try connection.forgetSurplusStatements()
      let results = try perform(group.map(\.work), connection)
      for (pending, result) in zip(group, results) { pending.completion.resume(returning: result) }
    } catch {
      let failure = error.storageError
      var again: [Pending] = []
      for var pending in group {
        pending.attempts += 1
        if connection.isBroken, pending.attempts < Self.maximumAttempts {
          again.append(pending)
        } else {
          pending.completion.resume(returning: .failure(failure))
        }
      }
      state.withLock { $0.pending.insert(contentsOf: again, at: 0) }
    }
  }

  // MARK: Connecting

  /// Tries to connect once, and pauses when that fails, a little longer each time.
  private func connect(pause: inout Double) -> PostgresConnection? {
    let began = ContinuousClock.now
    do throws(PostgresFailure) {
      let made = try PostgresConnection(parameters)
      pause = Self.firstPause
      let (outage, warns) = state.withLock { state in
        state.connections += 1
        defer {
          state.downSince = nil
          state.hasWarned = state.hasWarned || !made.isSynced
        }
        return (state.downSince.map { ContinuousClock.now - $0 }, !made.isSynced && !state.hasWarned)
      }
      if let outage { logger.notice("PostgreSQL can be reached again", metadata: ["after": "\(outage)"]) }
      if warns {
        logger.warning("PostgreSQL runs with fsync=off: a crash of its machine can lose what it said it stored")
      }
      return made
    } catch {
      let failure = error.storageError
      let isNew = state.withLock { state in
        guard state.connections == 0 else { return false }
        if case .unavailable(let why) = failure { state.lastError = why }
        defer { state.downSince = state.downSince ?? began }
        return state.downSince == nil
      }
      if isNew { logger.error("PostgreSQL can't be reached", metadata: ["error": "\(failure)"]) }
      refuseLate()
      let end = ContinuousClock.now + .seconds(pause * Double.random(in: 0.5...1))
      while ContinuousClock.now < end, !state.withLock({ $0.isClosed }) {
        Thread.sleep(forTimeInterval: min(pause, 0.05))
        refuseLate()
      }
      pause = min(pause * 2, Self.longestPause)
      return nil
    }
  }

  /// Refuses the work that waited long enough, or all when it is closed.
  private func refuseLate() {
    let now = ContinuousClock.now
    let (late, why) = state.withLock { state in
      let late = state.pending.filter { state.isClosed || now - $0.since > Self.maximumWait }
      if !late.isEmpty { state.pending.removeAll { state.isClosed || now - $0.since > Self.maximumWait } }
      return (late, state.lastError)
    }
    for pending in late { pending.completion.resume(returning: .failure(.unavailable(why))) }
  }

  /// Whether a worker without a connection may stop trying: others have one and nothing waits, or it is over.
  private func rests(_ worker: Worker) -> Bool {
    state.withLock { state in
      guard state.pending.isEmpty, state.isClosed || state.connections > 0 else { return false }
      state.idle.append(worker)
      return true
    }
  }
}
