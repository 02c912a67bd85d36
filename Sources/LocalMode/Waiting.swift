import ServiceLifecycle

/// Asks every 20 ms until `condition` holds.
/// - Parameter what: what is waited for, and where to look when it does not come.
/// - Throws: `LocalModeError` after `timeout`, `CancellationError` when the system is being ended, and what `condition`
///   throws.
func waitUntil(
  _ what: String, within timeout: Duration, _ condition: @Sendable () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + timeout
  while !(try await condition()) {
    if Task.isCancelled || Task.isShuttingDownGracefully { throw CancellationError() }
    guard ContinuousClock.now < deadline else { throw LocalModeError("waited \(timeout) until \(what)") }
    try await Task.sleep(for: .milliseconds(20))
  }
}
