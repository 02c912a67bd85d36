import AgentProtocols
import CASACore
package import ClusterObjects
import CustomResources
import Foundation
package import Logging
import ServiceLifecycle
import Synchronization

/// Keeps the files of one node's guard as the cluster is: its policy and the pods that run there.
///
/// A file is replaced as a whole, and only by one that says something else and that the node guard can read. While the
/// API server is away, the files stay as they are: what was permitted last goes on, and a pod that nobody told of is
/// denied nothing by them and has no Secret to start with.
package struct NodeFollower: Service {
  package struct Configuration: Sendable {
    /// The node's name.
    package var node: String
    /// Where `policy.json` and `pods.json` are written.
    package var directory: String
    package var settings: ClusterSettings
    /// Whether it ends when the files were written once.
    package var isOnce = false
    /// For how long it waits for the cluster's state when it is to write once.
    package var patience = Duration.seconds(60)

    package init(node: String, directory: String, settings: ClusterSettings) {
      self.node = node
      self.directory = directory
      self.settings = settings
    }
  }

  /// Why the files were not written.
  package struct Failure: Error, Sendable, CustomStringConvertible {
    package let description: String
  }

  static let injectionLabel = "casa.io/injection=enabled"
  /// Changes that come together are written together.
  private static let settling = Duration.milliseconds(50)

  private let configuration: Configuration
  private let client: KubernetesClient
  private let logger: Logger

  package init(_ configuration: Configuration, client: KubernetesClient, logger: Logger) {
    self.configuration = configuration
    self.client = client
    self.logger = logger
  }

  package func run() async throws {
    try FileManager.default.createDirectory(atPath: configuration.directory, withIntermediateDirectories: true)
    let (changes, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let caches = NodeCaches(client, node: configuration.node, logger: logger) { signal.yield() }
    try await cancelWhenGracefulShutdown {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await caches.run() }
        if configuration.isOnce {
          group.addTask {
            try await Task.sleep(for: configuration.patience, clock: .continuous)
            throw Failure(
              description: "the API server did not tell of \(caches.unsynced.joined(separator: ", ")) in time")
          }
        }
        group.addTask { try await follow(caches, changes) }
        do {
          try await group.next()
        } catch is CancellationError {
          // Somebody asked it to end.
        }
        group.cancelAll()
      }
    }
  }

  private func follow(_ caches: NodeCaches, _ changes: AsyncStream<Void>) async throws {
    await caches.synced()
    guard !Task.isCancelled else { return }
    var written = Written()
    // Reads each object anew only when it declares something else, and pods and endpoints change far more often.
    let declared = DeclaredObjects()
    if configuration.isOnce {
      try write(view(caches, declared), &written)
      return
    }
    for await _ in changes {
      try? await Task.sleep(for: Self.settling, clock: .continuous)
      guard !Task.isCancelled else { return }
      do {
        try write(view(caches, declared), &written)
      } catch {
        logger.error("the node's files stay as they are: \(error)")
      }
    }
  }

  private struct Written {
    var policy: String?
    var pods: String?
    var problems: [String] = []
  }

  private func write(_ view: NodeView, _ written: inout Written) throws {
    let files = NodeFiles(of: view, settings: configuration.settings)
    try files.check()
    // The pods first: a workload of the policy that no pod is of yet does no harm, nor the other way round.
    if files.pods != written.pods {
      try replace("pods.json", with: files.pods)
      written.pods = files.pods
    }
    if files.policy != written.policy {
      try replace("policy.json", with: files.policy)
      written.policy = files.policy
      logger.info("the node's policy was written", metadata: ["bytes": "\(files.policy.utf8.count)"])
    }
    for problem in files.problems where !written.problems.contains(problem) { logger.warning("\(problem)") }
    written.problems = files.problems
  }

  private func replace(_ name: String, with text: String) throws {
    let url = URL(fileURLWithPath: configuration.directory).appendingPathComponent(name)
    let data = Data(text.utf8)
    // After a start it may be there as it is to be.
    if (try? Data(contentsOf: url)) == data { return }
    let new = url.appendingPathExtension("new")
    try data.write(to: new)
    // The guard reads them as another user, and in them is nothing that is secret.
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: new.path)
    guard rename(new.path, url.path) == 0 else { throw CocoaError(.fileWriteUnknown) }
  }

  private func view(_ caches: NodeCaches, _ declared: DeclaredObjects) -> NodeView {
    var appIDs: [String: AppID] = [:]
    var changed: [(KubernetesObject, isSystem: Bool)] = []
    for object in caches.systems.objects() {
      if declared.setSystem(object.key, object) { changed.append((object, true)) }
      for (app, id) in Self.appIDs(of: object) { appIDs["\(object.key)/\(app)"] = id }
    }
    for object in caches.policies.objects() where declared.setPolicy(object.key, object) {
      changed.append((object, false))
    }
    for key in declared.keys.systems where caches.systems[key] == nil { _ = declared.setSystem(key, nil) }
    for key in declared.keys.policies where caches.policies[key] == nil { _ = declared.setPolicy(key, nil) }
    for (object, isSystem) in changed {
      guard let problem = isSystem ? declared.system(object.key).problem : declared.policy(object.key).problem else {
        continue
      }
      logger.warning(
        "an object is not in force",
        metadata: [
          "object": "\(object.key)", "reason": "\(problem.reason.rawValue)", "message": "\(problem.message)",
        ])
    }
    return NodeView(
      resolution: declared.resolution,
      pods: caches.pods.objects().compactMap { NodePod(json: $0.json) },
      guardedNamespaces: Set(caches.namespaces.objects().map(\.name)),
      services: caches.services.objects().compactMap { ClusterService(json: $0.json) },
      endpoints: caches.endpoints.objects().sorted { $0.key < $1.key }.compactMap { ServiceEndpoints(json: $0.json) },
      appIDs: appIDs)
  }

  /// By the apps' names.
  private static func appIDs(of object: KubernetesObject) -> [(String, AppID)] {
    (object["status"]?["apps"]?.array ?? []).compactMap { app in
      guard let name = app["name"]?.string, let id = app["id"]?.string.flatMap({ AppID(validating: $0) }) else {
        return nil
      }
      return (name, id)
    }
  }
}

/// What a node's files are made from.
private final class NodeCaches: Sendable {
  let systems: ResourceCache
  let policies: ResourceCache
  let namespaces: ResourceCache
  let pods: ResourceCache
  let services: ResourceCache
  let endpoints: ResourceCache

  init(_ client: KubernetesClient, node: String, logger: Logger, changed: @escaping @Sendable () -> Void) {
    func cache(_ resource: KubernetesResource, _ selection: ObjectSelection = .all) -> ResourceCache {
      ResourceCache(resource, of: client, selection, logger: logger) { _ in changed() }
    }
    systems = cache(.multiAgentSystems)
    policies = cache(.casaPolicies)
    namespaces = cache(.namespaces, ObjectSelection(labels: NodeFollower.injectionLabel))
    pods = cache(.pods, ObjectSelection(fields: "spec.nodeName=\(node)"))
    services = cache(.services)
    endpoints = cache(.endpointSlices, ObjectSelection(labels: "kubernetes.io/service-name"))
  }

  private var all: [ResourceCache] { [systems, policies, namespaces, pods, services, endpoints] }

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

  var unsynced: [String] { all.filter { !$0.isSynced }.map(\.resource.plural) }
}
