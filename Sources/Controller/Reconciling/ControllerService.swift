package import Administration
package import CASACore
package import ClusterObjects
import CustomResources
package import Logging
import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The controller: one of its replicas at a time brings the cluster to what the custom resources say.
package struct ControllerService: Service {
  package struct Configuration: Sendable {
    /// No other replica may have it, such as a pod's name.
    package var identity: String
    package var settings: ClusterSettings
    /// How many objects are worked on at once.
    package var concurrency = 16
    /// Whether it makes the injector's certificate; otherwise somebody else does.
    package var keepsWebhookCertificates = true
    /// How often the runtime is compared with the cluster as a whole.
    package var resyncInterval = Duration.seconds(60)

    package init(identity: String, settings: ClusterSettings) {
      self.identity = identity
      self.settings = settings
    }
  }

  private let configuration: Configuration
  private let client: KubernetesClient
  private let runtime: RuntimeAdministration
  private let counts = ControllerCounts()
  private let progress = Progress()
  private let clock: WallClock
  private let logger: Logger

  package init(
    configuration: Configuration, client: KubernetesClient, runtime: RuntimeAdministration,
    clock: WallClock = .system, logger: Logger
  ) {
    self.configuration = configuration
    self.client = client
    self.runtime = runtime
    self.clock = clock
    self.logger = logger
  }

  package func run() async throws {
    let election = LeaderElection(
      client, lease: ObjectKey(namespace: configuration.settings.systemNamespace, name: "casa-controller"),
      identity: configuration.identity, logger: logger)
    await cancelWhenGracefulShutdown {
      await election.run(overran: {
        logger.critical("the work did not end when the lease was lost; the process ends")
        // Without cleaning up: another replica leads already.
        _exit(1)
      }) {
        counts.set(isLeading: true)
        await lead()
        counts.set(isLeading: false)
      }
    }
  }

  /// In Prometheus' format.
  package var metricsText: String { counts.text(waiting: progress.waiting) }

  /// How much waits, told to whoever asks for metrics.
  private final class Progress: Sendable {
    private let count = Mutex<(@Sendable () -> Int)?>(nil)

    var waiting: Int { count.withLock { $0 }?() ?? 0 }
    func set(_ read: @escaping @Sendable () -> Int) { count.withLock { $0 = read } }
  }

  private enum Work: Hashable, Sendable {
    case system(ObjectKey)
    case policy(ObjectKey)
    /// Looks at all whose outcome others' changes changed.
    case changes
    /// Compares the runtime with the cluster.
    case resync
  }

  private func lead() async {
    let queue = WorkQueue<Work>()
    let declared = DeclaredObjects()
    let written = WrittenObjects()
    let caches = Mutex<ControllerCaches?>(nil)
    let made = ControllerCaches(
      client,
      made: ClusterObjects.kinds(configuration.settings).compactMap {
        KubernetesResource.of(apiVersion: $0.apiVersion, kind: $0.kind)
      }, logger: logger
    ) { resource, key in
      guard let caches = caches.withLock({ $0 }) else { return }
      take(key, of: resource, caches, declared, written, queue)
    }
    caches.withLock { $0 = made }
    // What is told of changes holds them, too: each term of leadership would leave its own behind.
    defer { caches.withLock { $0 = nil } }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await made.run() }
      group.addTask { await work(made, declared, written, queue) }
      if configuration.keepsWebhookCertificates { group.addTask { await keepWebhookCertificates() } }
      await group.waitForAll()
    }
  }

  private func keepWebhookCertificates() async {
    let certificates = WebhookCertificates(
      client: client, namespace: configuration.settings.systemNamespace, clock: clock, logger: logger)
    while !Task.isCancelled {
      var pause = Duration.seconds(5)
      do {
        pause = try await certificates.reconcile()
      } catch {
        if !Task.isCancelled {
          logger.warning("the webhooks' certificates could not be looked after", metadata: ["error": "\(error)"])
        }
      }
      // Webhooks come and go with releases of the chart.
      try? await Task.sleep(for: min(pause, configuration.resyncInterval))
    }
  }

  /// Has whatever a change concerns looked at.
  private func take(
    _ key: ObjectKey, of resource: KubernetesResource, _ caches: ControllerCaches, _ declared: DeclaredObjects,
    _ written: WrittenObjects, _ queue: WorkQueue<Work>
  ) {
    let object = caches.object(resource, key)
    switch resource {
    case .multiAgentSystems:
      if declared.setSystem(key, object) { queue.add(.changes) }
      queue.add(.system(key))
    case .casaPolicies:
      if declared.setPolicy(key, object) { queue.add(.changes) }
      queue.add(.policy(key))
    case .pods:
      guard let namespace = key.namespace else { return }
      if let label = object?.labels[WorkloadLabel.key], let system = declared.system(ofLabel: label, in: namespace) {
        queue.add(.system(system))
      } else if object == nil {
        // Whose it was is not known any more.
        for system in declared.keys.systems where system.namespace == namespace { queue.add(.system(system)) }
      }
    default:
      written.changed(resource, key, live: object)
      guard let namespace = key.namespace else { return }
      if let owner = object?.ownerReferences.first(where: { $0.kind == MultiAgentSystem.kind }) {
        queue.add(.system(ObjectKey(namespace: namespace, name: owner.name)))
      } else {
        for system in declared.keys.systems where system.namespace == namespace { queue.add(.system(system)) }
      }
    }
  }

  private func work(
    _ caches: ControllerCaches, _ declared: DeclaredObjects, _ written: WrittenObjects, _ queue: WorkQueue<Work>
  ) async {
    await caches.synced()
    guard let cluster = await cluster() else { return }
    let registration = RuntimeRegistration(runtime: runtime, cluster: cluster)
    let reconciler = SystemReconciler(
      client: client, declared: declared, caches: caches, registration: registration,
      secrets: WorkloadSecrets(client: client, interval: configuration.resyncInterval * 10), written: written,
      events: EventRecorder(client, instance: configuration.identity, clock: clock, logger: logger),
      settings: configuration.settings, clock: clock, logger: logger, counts: counts)
    progress.set { queue.waitingCount }
    // What is made by one who did not know what there is would be made twice.
    while !Task.isCancelled {
      do {
        try await registration.refresh()
        break
      } catch {
        logger.warning("the runtime can't be read", metadata: ["error": "\(error)"])
        try? await Task.sleep(for: .seconds(2))
      }
    }
    logger.notice("ready", metadata: ["systems": "\(caches.systems.count)", "policies": "\(caches.policies.count)"])
    queue.add(.changes)
    queue.add(.resync, after: configuration.resyncInterval)
    await queue.run(concurrency: configuration.concurrency) { work in
      do {
        let again: Duration?
        switch work {
        case .system(let key): again = try await reconciler.reconcileSystem(key)
        case .policy(let key): again = try await reconciler.reconcilePolicy(key)
        case .changes:
          let changed = declared.changes()
          for key in changed.systems { queue.add(.system(key)) }
          for key in changed.policies { queue.add(.policy(key)) }
          again = nil
        case .resync: again = try await resync(registration, caches, declared, queue)
        }
        counts.ran(failed: false)
        return again
      } catch {
        counts.ran(failed: true)
        if !Task.isCancelled {
          logger.warning(
            "an object could not be brought to what it should be", metadata: ["work": "\(work)", "error": "\(error)"])
        }
        throw error
      }
    }
  }

  private func resync(
    _ registration: RuntimeRegistration, _ caches: ControllerCaches, _ declared: DeclaredObjects,
    _ queue: WorkQueue<Work>
  ) async throws -> Duration? {
    try await registration.refresh()
    var owners: Set<String> = []
    for object in caches.systems.objects() {
      owners.insert(registration.owner(of: try ObjectMetadata(json: object.json["metadata"])))
    }
    for orphan in registration.orphans(besides: owners) {
      logger.notice("the runtime forgets a system that is gone", metadata: ["owner": "\(orphan)"])
      try await registration.unregister(owner: orphan)
    }
    for key in declared.keys.systems { queue.add(.system(key)) }
    for key in declared.keys.policies { queue.add(.policy(key)) }
    return configuration.resyncInterval
  }

  /// Tells this cluster from every other: the uid of a namespace that each has and nobody deletes.
  private func cluster() async -> String? {
    while !Task.isCancelled {
      do {
        let namespace = try await client.get(.namespaces, ObjectKey(namespace: nil, name: "kube-system"))
        if let uid = namespace.uid { return uid }
        logger.warning("the namespace kube-system has no uid")
      } catch {
        logger.warning("the namespace kube-system can't be read", metadata: ["error": "\(error)"])
      }
      try? await Task.sleep(for: .seconds(2))
    }
    return nil
  }
}
