/// Runs asynchronous operations one after the other, in the order they asked. An actor alone would not: it lets
/// others in whenever an operation awaits.
public actor SerialQueue {
  private var isBusy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  public init() {}

  /// Runs `operation` when all before it are done.
  public func run<Value: Sendable, Failure: Error>(
    _ operation: @Sendable () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    if isBusy { await withCheckedContinuation { waiting.append($0) } }
    isBusy = true
    defer {
      // Handing over without becoming idle: nobody slips in between.
      if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
    }
    return try await operation()
  }
}
