import CASACore
import Synchronization

/// What this process wrote and the caches may not show yet, so that nothing is written twice.
final class WrittenObjects: Sendable {
  private struct Place: Hashable {
    let resource: KubernetesResource
    let key: ObjectKey
  }

  private struct Written {
    let desired: JSONValue
    let resourceVersion: String?
    /// What the cache showed when it was written.
    let before: String?
  }

  private let written = Mutex([Place: Written]())

  /// Whether `desired` has to be written.
  /// - Parameter live: what the cache shows; nil for nothing.
  func isNeeded(
    _ desired: JSONValue, _ resource: KubernetesResource, _ key: ObjectKey, live: KubernetesObject?
  ) -> Bool {
    if let live, Drift.isSatisfied(desired, by: live.json) { return false }
    guard let last = written.withLock({ $0[Place(resource: resource, key: key)] }), last.desired == desired else {
      return true
    }
    // The cache is where it was before the write, or shows exactly what the API server made of it: writing it again
    // would change nothing.
    return live?.resourceVersion != last.before && live?.resourceVersion != last.resourceVersion
  }

  func record(
    _ desired: JSONValue, _ resource: KubernetesResource, _ key: ObjectKey, live: KubernetesObject?,
    result: KubernetesObject
  ) {
    let entry = Written(
      desired: desired, resourceVersion: result.resourceVersion, before: live?.resourceVersion)
    written.withLock { $0[Place(resource: resource, key: key)] = entry }
  }

  /// The object changed or is gone, by whomever: what was written says nothing any more.
  /// - Parameter live: what the cache shows now.
  func changed(_ resource: KubernetesResource, _ key: ObjectKey, live: KubernetesObject?) {
    let place = Place(resource: resource, key: key)
    written.withLock { written in
      guard let last = written[place] else { return }
      // Kept where the object is as it was written, since it may not satisfy what was desired: a webhook may have
      // changed it, and fighting with that one would never end.
      if live == nil || live?.resourceVersion != last.resourceVersion { written[place] = nil }
    }
  }
}
