import Administration
import AgentProtocols
import CASACore
import ClusterObjects
import Crypto
import CustomResources
import Foundation
import Logging

/// Brings the cluster and the runtime to what the custom resources say, one object at a time. Whatever state it finds,
/// and wherever it was stopped, the next run goes on from there.
struct SystemReconciler: Sendable {
  let client: KubernetesClient
  let declared: DeclaredObjects
  let caches: ControllerCaches
  let registration: RuntimeRegistration
  let secrets: WorkloadSecrets
  let written: WrittenObjects
  let events: EventRecorder
  let settings: ClusterSettings
  let clock: WallClock
  let logger: Logger
  let counts: ControllerCounts

  /// Holds a system until the runtime has forgotten it.
  static let finalizer = "casa.io/runtime-registration"
  static let managedBy = ClusterObject.managedBy.value
  static let managedByLabel = ClusterObject.managedBy.key
  static let appIDAnnotation = "casa.io/app-id"

  /// How soon what may pass by itself is looked at again.
  private static let retry = Duration.seconds(60)
  /// A name may be free as soon as another system has left.
  private static let retryOfName = Duration.seconds(5)

  /// - Returns: after how long it wants to be called again; nil for when something changes.
  func reconcileSystem(_ key: ObjectKey) async throws -> Duration? {
    guard let object = caches.systems[key] else { return nil }
    if object.isBeingDeleted { return try await finish(object) }
    switch declared.system(key) {
    case .gone: return nil
    case .problem(let problem):
      var status = ObjectStatus.failed(problem, appsReady: 0)
      // One that can't be read leaves in force what was before; one that is somebody else's place must leave it.
      if problem.reason != .invalidSpec {
        try await withdraw(object)
        status.appIDs = [:]
      }
      try await report(status, on: object, of: .multiAgentSystems)
      return nil
    case .inForce(let system):
      return try await carryOut(system, object)
    }
  }

  func reconcilePolicy(_ key: ObjectKey) async throws -> Duration? {
    guard let object = caches.policies[key], !object.isBeingDeleted else { return nil }
    switch declared.policy(key) {
    case .gone: return nil
    case .problem(let problem):
      let status =
        problem.reason == .targetUnknown
        ? ObjectStatus(phase: .pending, message: problem.message, notReady: problem.reason) : .failed(problem)
      try await report(status, on: object, of: .casaPolicies)
    case .inForce:
      try await report(
        ObjectStatus(phase: .active, message: "the sidecar and the network of the workload follow it"), on: object,
        of: .casaPolicies)
    }
    return nil
  }

  // MARK: A system

  private func carryOut(_ system: ResolvedSystem, _ object: KubernetesObject) async throws -> Duration? {
    guard object.finalizers.contains(Self.finalizer) else {
      // Before anything is made at the runtime, so that nothing is left there when the object goes.
      try await setFinalizers(of: object, object.finalizers + [Self.finalizer])
      return .milliseconds(1)
    }
    let outcome: RuntimeRegistration.Outcome
    do {
      outcome = try await registration.register(system)
    } catch {
      switch error {
      case .conflict(let why):
        // It may be this system's own, of which the answer was lost.
        try await registration.refresh()
        if registration.knows(owner: registration.owner(of: system.object.metadata)) { throw error }
        try await report(
          .failed(
            ResourceProblem(.nameTaken, "the runtime refuses the name \(system.object.name): \(why)"), appsReady: 0),
          on: object, of: .multiAgentSystems)
        return Self.retryOfName
      case .invalid(let why):
        try await report(
          .failed(ResourceProblem(.invalidSpec, why), appsReady: 0), on: object, of: .multiAgentSystems)
        return Self.retry
      case .notFound:
        // Somebody deleted at the runtime what was known to be there.
        try await registration.refresh()
        throw error
      case .unauthorized, .unreachable: throw error
      }
    }
    guard let owner = OwnerReference(controlledBy: object, of: .multiAgentSystems) else { return nil }
    var desired: [DesiredObject] = []
    for object in ClusterObjects.objects(of: system, settings) { desired.append(try DesiredObject(object)) }
    // Before the Secrets, so that no workload can start that the network does not guard. And whose policy there is, its
    // Secret is found by, when it is time to delete both.
    for one in desired { try await write(one) }
    var missing: ResourceProblem?
    for app in system.apps {
      guard app.app.workloadName != nil, let id = outcome.apps[app.app.name] else { continue }
      do {
        try await writeCredentials(of: app, id: id, fresh: outcome.secrets[app.app.name], system, owner)
      } catch let problem as MissingSecret {
        missing = ResourceProblem(.invalidSpec, problem.description)
      }
    }
    try await remove(caches.owned(by: object), besides: desired)
    let ready = appsReady(system, registered: outcome)
    var status =
      missing.map { ObjectStatus.failed($0, appsReady: ready) }
      ?? ObjectStatus(
        phase: .active, appsReady: ready,
        message: "\(system.apps.count) apps are registered as \(system.object.name)", degraded: system.problems.first)
    status.appIDs = outcome.apps
    try await report(status, on: object, of: .multiAgentSystems)
    // Secrets of others are not watched.
    return system.object.llm?.apiKey == nil ? nil : Self.retry
  }

  /// The object is to be deleted: first the runtime forgets it; what it owns in the cluster goes with it.
  private func finish(_ object: KubernetesObject) async throws -> Duration? {
    guard object.finalizers.contains(Self.finalizer) else { return nil }
    try await unregister(object)
    do throws(KubernetesError) {
      try await setFinalizers(of: object, object.finalizers.filter { $0 != Self.finalizer })
    } catch {
      // Another run was faster.
      if error != .notFound { throw error }
    }
    return nil
  }

  /// Takes back what was made for a system.
  private func withdraw(_ object: KubernetesObject) async throws {
    try await unregister(object)
    try await remove(caches.owned(by: object), besides: [])
  }

  private func unregister(_ object: KubernetesObject) async throws {
    let metadata = try ObjectMetadata(json: object.json["metadata"])
    try await registration.unregister(owner: registration.owner(of: metadata))
  }

  /// Refused when somebody else changed the object meanwhile.
  private func setFinalizers(of object: KubernetesObject, _ finalizers: [String]) async throws(KubernetesError) {
    let version: JSONValue = object.resourceVersion.map(JSONValue.string) ?? .null
    let metadata: JSONValue = ["finalizers": .array(finalizers.map(JSONValue.string)), "resourceVersion": version]
    try await client.patch(.multiAgentSystems, object.key, ["metadata": metadata])
    counts.wrote(.multiAgentSystems)
  }

  // MARK: Credentials

  private struct MissingSecret: Error, CustomStringConvertible {
    let description: String
  }

  /// Writes the Secret with which an app's sidecar is who it is.
  private func writeCredentials(
    of app: ResolvedApp, id: AppID, fresh: String?, _ system: ResolvedSystem, _ owner: OwnerReference
  ) async throws {
    let metadata = system.object.metadata
    let key = ObjectKey(
      namespace: metadata.namespace, name: WorkloadFile.secretName(of: app.app.workloadName ?? ""))
    // The app is new: whatever a Secret says of an older one is void.
    let live = fresh == nil ? try await secrets.read(key) : nil
    let known = Self.isOwn(live, id) ? live : nil
    func kept(_ name: String) -> String? {
      known?["data"]?[name]?.string.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
    }
    let secret: String
    if let given = fresh ?? kept("client-secret"), !given.isEmpty {
      secret = given
    } else {
      secret = try await registration.newSecret(of: id)
    }
    let sidecarKey = kept("sidecar-key") ?? SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode($0) }
    var data = [
      "client-secret": secret, "sidecar-key": sidecarKey,
      "workload.yaml": try WorkloadFile(of: app, in: system, clientID: id, settings: settings).text,
    ]
    if app.llm != nil, let apiKey = system.object.llm?.apiKey {
      let theirs = ObjectKey(namespace: metadata.namespace, name: apiKey.name)
      data["llm-api-key"] = try await llmKey(apiKey, theirs)
    }
    let desired = DesiredObject(
      secret: key, annotations: [Self.appIDAnnotation: id.rawValue],
      data: data.mapValues { Data($0.utf8).base64EncodedString() }, owner: owner)
    if let live, Drift.isSatisfied(desired.json, by: live.json) { return }
    try await secrets.write(desired)
    counts.wrote(.secrets)
  }

  /// The LLM's API key out of the Secret that a system names.
  private func llmKey(_ named: MultiAgentSystem.SecretKey, _ key: ObjectKey) async throws -> String {
    let source: KubernetesObject
    do throws(KubernetesError) {
      source = try await client.get(.secrets, key)
    } catch {
      guard error == .notFound else { throw error }
      throw MissingSecret(description: "the Secret \(named.name) with the LLM's API key is missing")
    }
    guard let value = source["data"]?[named.key]?.string.flatMap({ Data(base64Encoded: $0) }) else {
      throw MissingSecret(description: "the Secret \(named.name) has no key `\(named.key)` for the LLM")
    }
    return String(decoding: value, as: UTF8.self)
  }

  private static func isOwn(_ secret: KubernetesObject?, _ id: AppID) -> Bool {
    secret?.annotations[appIDAnnotation] == id.rawValue && secret?.labels[managedByLabel] == managedBy
  }

  // MARK: Objects

  struct Place: Hashable {
    let resource: KubernetesResource
    let key: ObjectKey
  }

  private func write(_ desired: DesiredObject) async throws {
    let live = caches.object(desired.resource, desired.key)
    guard written.isNeeded(desired.json, desired.resource, desired.key, live: live) else { return }
    let result = try await client.apply(desired.resource, desired.json)
    counts.wrote(desired.resource)
    written.record(desired.json, desired.resource, desired.key, live: live, result: result)
  }

  /// Deletes of what is there all that is not desired, and the Secret of a workload before its policy.
  private func remove(
    _ there: [(KubernetesResource, KubernetesObject)], besides desired: [DesiredObject]
  ) async throws {
    let kept = Set(desired.map { Place(resource: $0.resource, key: $0.key) })
    for (resource, object) in there
    where !kept.contains(Place(resource: resource, key: object.key)) && !object.isBeingDeleted {
      // Its name is that of the workload's policy.
      if resource == .networkPolicies, try await secrets.delete(object.key) { counts.wrote(.secrets) }
      do throws(KubernetesError) {
        try await client.delete(resource, object.key, uid: object.uid)
        counts.wrote(resource)
      } catch {
        // That it is gone was the aim.
        if error != .notFound { throw error }
      }
    }
  }

  private func appsReady(_ system: ResolvedSystem, registered: RuntimeRegistration.Outcome) -> Int {
    system.apps.count { app in
      guard registered.apps[app.app.name] != nil else { return false }
      guard let workload = app.app.workloadName else { return true }
      return caches.hasReadyPod(workload: workload, in: system.object.metadata.namespace)
    }
  }

  private func report(
    _ status: ObjectStatus, on object: KubernetesObject, of resource: KubernetesResource
  ) async throws {
    let now = clock.now()
    let whole = Timestamp(milliseconds: now.milliseconds / 1000 * 1000).rfc3339
    guard let json = status.json(replacing: object["status"], generation: object.generation, now: whole),
      written.isNeeded(json, resource.part("status"), object.key, live: object)
    else { return }
    do throws(KubernetesError) {
      let result = try await client.patchStatus(resource, object.key, json)
      counts.wrote(resource)
      written.record(json, resource.part("status"), object.key, live: object, result: result)
    } catch {
      guard error == .notFound else { throw error }
      return
    }
    guard object["status"]?["phase"]?.string != status.phase.rawValue else { return }
    await events.tell(
      status.phase == .active ? .normal : .warning, status.notReady?.rawValue ?? "InForce", status.message,
      about: object, of: resource)
    if status.phase != .active {
      logger.notice(
        "an object is not in force",
        metadata: [
          "kind": "\(resource.kind)", "object": "\(object.key)", "reason": "\(status.notReady?.rawValue ?? "")",
          "message": "\(status.message)",
        ])
    }
  }
}

extension KubernetesResource {
  /// Stands for a part of the resource's objects that is written by itself.
  fileprivate func part(_ name: String) -> KubernetesResource {
    KubernetesResource(group: group, version: version, plural: plural + "/" + name, kind: kind)
  }
}
