import CASACore
import Enforcement
import Synchronization

/// Asks the runtime who the workload is, and again now and then: apps come and go.
final class IdentitySource: Sendable {
  private static let freshFor = Duration.seconds(60)

  private let known = Mutex<(identity: WorkloadIdentity, until: ContinuousClock.Instant)?>(nil)
  private let runtime: RuntimeClient

  init(runtime: RuntimeClient) { self.runtime = runtime }

  /// - Throws: `Refusal` when the runtime never said.
  func identity() async throws(Refusal) -> WorkloadIdentity {
    let cached = known.withLock { $0 }
    if let cached, cached.until > .now { return cached.identity }
    do {
      return try await refresh()
    } catch {
      // An old answer is as true as a new one for calls whose tokens the runtime granted meanwhile.
      if let cached, error.reason == .runtimeUnavailable { return cached.identity }
      throw error
    }
  }

  /// The workload's description that names `peer`, asking again when the one at hand does not.
  func identity(naming peer: Name) async throws(Refusal) -> WorkloadIdentity {
    let identity = try await identity()
    return identity.peers[peer] == nil ? try await refresh() : identity
  }

  private func refresh() async throws(Refusal) -> WorkloadIdentity {
    guard let identity = WorkloadIdentity(try await runtime.selfDescription()) else {
      throw Refusal(.runtimeUnavailable, "the runtime's description of this workload can't be read")
    }
    known.withLock { $0 = (identity, .now + Self.freshFor) }
    return identity
  }
}
