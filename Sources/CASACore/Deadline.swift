/// The result of an operation, or nil when it has none by the deadline. The operation is cancelled then, and awaited:
/// it must end soon when its task is cancelled.
public func result<Result: Sendable>(
  before deadline: ContinuousClock.Instant, _ operation: @escaping @Sendable () async -> Result
) async -> Result? {
  await withTaskGroup(of: Result?.self) { group in
    group.addTask { await operation() }
    group.addTask {
      try? await Task.sleep(until: deadline, clock: .continuous)
      return nil
    }
    let first = await group.next()
    group.cancelAll()
    return first ?? nil
  }
}
