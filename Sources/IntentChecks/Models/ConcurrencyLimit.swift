import Synchronization

/// Lets so many in at once, in the order they came; of the others some wait, and no longer than they say.
final class ConcurrencyLimit: Sendable {
  private enum Entry: Sendable {
    case entered, full, gaveUp
  }

  private struct Waiter {
    let id: UInt64
    let continuation: CheckedContinuation<Entry, Never>
  }

  private struct State {
    var free: Int
    var waiters: [Waiter] = []
    var nextID: UInt64 = 0
  }

  private let maximumWaiting: Int
  private let state: Mutex<State>

  init(_ limit: Int, waiting: Int) {
    maximumWaiting = max(0, waiting)
    state = Mutex(State(free: max(1, limit)))
  }

  /// How many wait now.
  var waiting: Int { state.withLock { $0.waiters.count } }

  /// Returns when there is room, which is then to be given back by `leave`.
  func enter(until deadline: ContinuousClock.Instant) async throws(ModelUnavailable) {
    let id = state.withLock { state -> UInt64? in
      if state.free > 0 {
        state.free -= 1
        return nil
      }
      state.nextID += 1
      return state.nextID
    }
    guard let id else { return }
    switch await wait(id, until: deadline) {
    case .entered: return
    case .full: throw .tooManyWaiting
    case .gaveUp: throw Task.isCancelled ? .cancelled : .timedOut
    }
  }

  func leave() {
    let next = state.withLock { state -> Waiter? in
      // The room goes from hand to hand.
      if !state.waiters.isEmpty { return state.waiters.removeFirst() }
      state.free += 1
      return nil
    }
    next?.continuation.resume(returning: .entered)
  }

  private func wait(_ id: UInt64, until deadline: ContinuousClock.Instant) async -> Entry {
    let timer = Task {
      try await Task.sleep(until: deadline, clock: .continuous)
      giveUp(id)
    }
    defer { timer.cancel() }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let entry = state.withLock { state -> Entry? in
          // Whoever gave up before this point was not found among the waiters, and nothing will wake it later.
          if Task.isCancelled || ContinuousClock.now >= deadline { return .gaveUp }
          if state.free > 0 {
            state.free -= 1
            return .entered
          }
          guard state.waiters.count < maximumWaiting else { return .full }
          state.waiters.append(Waiter(id: id, continuation: continuation))
          return nil
        }
        if let entry { continuation.resume(returning: entry) }
      }
    } onCancel: {
      giveUp(id)
    }
  }

  private func giveUp(_ id: UInt64) {
    let waiter = state.withLock { state -> Waiter? in
      guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
      return state.waiters.remove(at: index)
    }
    waiter?.continuation.resume(returning: .gaveUp)
  }
}
