import CASACore
import Synchronization

/// The Secrets that the controller wrote, as they were when it last looked.
///
/// It may read and write Secrets by name and list none: what it does not know by name it can't read. So it looks at
/// each now and then instead of watching them.
final class WorkloadSecrets: Sendable {
  private struct Held {
    let object: KubernetesObject?
    let readAt: ContinuousClock.Instant
  }

  private let client: KubernetesClient
  private let interval: Duration
  private let held = Mutex([ObjectKey: Held]())

  /// - Parameter interval: for how long what was read is taken for true.
  init(client: KubernetesClient, interval: Duration) {
    self.client = client
    self.interval = interval
  }

  /// The Secret; nil when there is none.
  func read(_ key: ObjectKey) async throws(KubernetesError) -> KubernetesObject? {
    if let known = held.withLock({ $0[key] }), ContinuousClock.now - known.readAt < interval { return known.object }
    let object: KubernetesObject?
    do throws(KubernetesError) {
      object = try await client.get(.secrets, key)
    } catch .notFound {
      object = nil
    }
    remember(key, object)
    return object
  }

  func write(_ desired: DesiredObject) async throws(KubernetesError) {
    // Whatever comes of it, what was known before is no longer sure.
    held.withLock { $0[desired.key] = nil }
    let result = try await client.apply(.secrets, desired.json)
    remember(desired.key, result)
  }

  /// Deletes the Secret, as far as it is there and the controller's.
  /// - Returns: whether it was.
  func delete(_ key: ObjectKey) async throws(KubernetesError) -> Bool {
    held.withLock { $0[key] = nil }
    do throws(KubernetesError) {
      let found = try await client.get(.secrets, key)
      guard found.labels[SystemReconciler.managedByLabel] == SystemReconciler.managedBy else { return false }
      try await client.delete(.secrets, key, uid: found.uid)
      return true
    } catch .notFound {
      return false
    }
  }

  private func remember(_ key: ObjectKey, _ object: KubernetesObject?) {
    held.withLock { $0[key] = Held(object: object, readAt: .now) }
  }
}
