import CASACore
import ClusterObjects
import CustomResources
import Logging

/// What the controller watches of the cluster.
final class ControllerCaches: Sendable {
  let systems: ResourceCache
  let policies: ResourceCache
  private let pods: ResourceCache
  /// What it makes beside Secrets, which it may not list.
  private let made: [KubernetesResource: ResourceCache]

  /// - Parameters:
  ///   - made: the kinds of objects that the controller makes in its mode.
  ///   - changed: called for each change, when the cache has it.
  init(
    _ client: KubernetesClient, made kinds: [KubernetesResource], logger: Logger,
    changed: @escaping @Sendable (KubernetesResource, ObjectKey) -> Void
  ) {
    let own = ObjectSelection(
      labels: "\(SystemReconciler.managedByLabel)=\(SystemReconciler.managedBy)")
    func cache(_ resource: KubernetesResource, _ selection: ObjectSelection = .all) -> ResourceCache {
      ResourceCache(resource, of: client, selection, logger: logger) { changed(resource, $0) }
    }
    systems = cache(.multiAgentSystems)
    policies = cache(.casaPolicies)
    pods = cache(.pods, ObjectSelection(labels: WorkloadLabel.key))
    made = Dictionary(kinds.map { ($0, cache($0, own)) }, uniquingKeysWith: { first, _ in first })
  }

  private var all: [ResourceCache] { [systems, policies, pods] + made.values }

  func object(_ resource: KubernetesResource, _ key: ObjectKey) -> KubernetesObject? { cache(of: resource)?[key] }

  func cache(of resource: KubernetesResource) -> ResourceCache? {
    switch resource {
    case .multiAgentSystems: systems
    case .casaPolicies: policies
    case .pods: pods
    default: made[resource]
    }
  }

  /// What a system owns, by its uid.
  func owned(by system: KubernetesObject) -> [(KubernetesResource, KubernetesObject)] {
    guard let uid = system.uid else { return [] }
    return made.flatMap { resource, cache in
      cache.objects(in: system.namespace).filter { $0.ownerReferences.contains { $0.uid == uid } }
        .map { (resource, $0) }
    }
  }

  /// Whether one of a workload's pods is ready.
  func hasReadyPod(workload: String, in namespace: String) -> Bool {
    pods.objects(in: namespace).contains { pod in
      pod.labels[WorkloadLabel.key] == WorkloadLabel.value(of: workload) && !pod.isBeingDeleted
        && (pod["status"]?["conditions"]?.array ?? []).contains {
          $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
        }
    }
  }

  /// Until the task is cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      for cache in all { group.addTask { await cache.run() } }
    }
  }

  /// Returns when all were listed once, or when the task is cancelled.
  func synced() async {
    for cache in all { await cache.synced() }
  }
}
