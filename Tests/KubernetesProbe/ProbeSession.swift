internal import CASACore
internal import Controller
internal import Logging
internal import Synchronization

/// What the probe was told to do, and does until it is cancelled.
final class ProbeSession: Sendable {
  private let client: KubernetesClient
  private let logger: Logger
  private let events: EventRecorder
  private let caches = Mutex<[Int64: ResourceCache]>([:])
  private let tasks = Mutex<[Int64: Task<Void, Never>]>([:])

  init(client: KubernetesClient, logger: Logger) {
    self.client = client
    self.logger = logger
    events = EventRecorder(client, instance: "probe", logger: logger)
  }

  func cancel(_ id: Int64) { tasks.withLock { $0[id] }?.cancel() }

  /// Answers with the command's `id`, with `result`, or with `error` and `message`.
  func carryOut(_ command: JSONValue) async {
    let id = command["id"]?.integer ?? 0
    let task = Task {
      do throws(KubernetesError) {
        KubernetesProbe.write(["id": .number(Double(id)), "result": try await result(of: command, id)])
      } catch {
        KubernetesProbe.write([
          "id": .number(Double(id)), "error": .string(Self.name(of: error)), "message": .string(error.description),
        ])
      }
    }
    tasks.withLock { $0[id] = task }
    await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }

  private static func name(of error: KubernetesError) -> String {
    switch error {
    case .notFound: "notFound"
    case .conflict: "conflict"
    case .alreadyExists: "alreadyExists"
    case .gone: "gone"
    case .tooManyRequests: "tooManyRequests"
    case .unauthorized: "unauthorized"
    case .forbidden: "forbidden"
    case .invalid: "invalid"
    case .server: "server"
    case .unreachable: "unreachable"
    case .malformed: "malformed"
    case .cancelled: "cancelled"
    }
  }

  private func result(of command: JSONValue, _ id: Int64) async throws(KubernetesError) -> JSONValue {
    let action = command["do"]?.string ?? ""
    let namespace = command["namespace"]?.string
    let object = command["object"] ?? .null
    let subresource = command["subresource"]?.string
    let selection = ObjectSelection(
      namespace: namespace, labels: command["labels"]?.string, fields: command["fields"]?.string)
    if action == "elect" { return await elect(command, id) }
    if action == "cached" {
      let objects = caches.withLock { $0[command["of"]?.integer ?? 0] }?.objects(in: namespace) ?? []
      return .object(Dictionary(objects.map { ("\($0.key)", $0.json) }, uniquingKeysWith: { first, _ in first }))
    }
    guard let resource = KubernetesResource.all.first(where: { $0.plural == command["resource"]?.string }) else {
      throw .invalid("the probe knows no such resource")
    }
    let key = ObjectKey(namespace: namespace, name: command["name"]?.string ?? "")
    switch action {
    case "get": return try await client.get(resource, key).json
    case "list":
      let list = try await client.list(resource, selection)
      return [
        "items": .array(list.items.map(\.json)), "resourceVersion": .string(list.resourceVersion),
        "unreadable": .array(list.unreadable.map { .string("\($0.key): \($0.problem)") }),
      ]
    case "create": return try await client.create(resource, object, in: namespace).json
    case "replace": return try await client.replace(resource, object).json
    case "delete":
      try await client.delete(resource, key, uid: command["uid"]?.string)
      return .null
    case "patch": return try await client.patch(resource, key, object, subresource: subresource).json
    case "patch-status": return try await client.patchStatus(resource, key, object).json
    case "apply": return try await client.apply(resource, object, subresource: subresource).json
    case "event":
      let about = try await client.get(resource, key)
      await events.tell(
        .warning, command["reason"]?.string ?? "", command["message"]?.string ?? "", about: about, of: resource)
      return .null
    case "watch":
      let events = try client.watch(resource, selection, from: command["from"]?.string ?? "0")
      for try await event in events { KubernetesProbe.write(["id": .number(Double(id)), "event": Self.json(event)]) }
      return "ended"
    case "cache":
      let cache = ResourceCache(
        resource, of: client, selection, backoff: Backoff(shortest: .milliseconds(10), longest: .milliseconds(300)),
        logger: logger
      ) { key in
        let version = self.caches.withLock { $0[id] }?[key]?.resourceVersion
        KubernetesProbe.write([
          "id": .number(Double(id)), "changed": .string("\(key)"), "version": version.map { .string($0) } ?? .null,
        ])
      }
      caches.withLock { $0[id] = cache }
      await withDiscardingTaskGroup { group in
        group.addTask { await cache.run() }
        await cache.synced()
        KubernetesProbe.write(["id": .number(Double(id)), "synced": .number(Double(cache.count))])
      }
      return "ended"
    default: throw .invalid("the probe knows no such command")
    }
  }

  private func elect(_ command: JSONValue, _ id: Int64) async -> JSONValue {
    let lease = ObjectKey(
      namespace: command["namespace"]?.string ?? "default", name: command["name"]?.string ?? "lease")
    func duration(_ name: String, _ otherwise: Int64) -> Duration { .milliseconds(command[name]?.integer ?? otherwise) }
    let election = LeaderElection(
      client, lease: lease, identity: command["identity"]?.string ?? "probe",
      timing: LeadershipTiming(
        leaseDuration: duration("lease-ms", 15_000), renewalDeadline: duration("renew-ms", 10_000),
        retryPeriod: duration("retry-ms", 2_000)), logger: logger)
    await election.run {
      KubernetesProbe.write(["id": .number(Double(id)), "leads": "overran"])
    } _: {
      KubernetesProbe.write(["id": .number(Double(id)), "leads": true])
      while !Task.isCancelled { try? await Task.sleep(for: .seconds(60)) }
      KubernetesProbe.write(["id": .number(Double(id)), "leads": false])
    }
    return "ended"
  }

  private static func json(_ event: WatchEvent) -> JSONValue {
    switch event {
    case .added(let object): ["type": "added", "object": object.json]
    case .modified(let object): ["type": "modified", "object": object.json]
    case .deleted(let object): ["type": "deleted", "object": object.json]
    case .bookmark(let version): ["type": "bookmark", "resourceVersion": .string(version)]
    case .unreadable(let object): ["type": "unreadable", "key": .string("\(object.key)")]
    case .gone(let object): ["type": "gone", "key": .string("\(object.key)")]
    case .expired: ["type": "expired"]
    }
  }
}
