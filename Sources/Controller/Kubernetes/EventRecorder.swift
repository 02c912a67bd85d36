import AgentProtocols
package import CASACore
package import Logging
import Synchronization

/// Tells people about objects, by Events (core/v1) that `kubectl describe` shows.
package final class EventRecorder: Sendable {
  package enum EventType: String, Sendable, Hashable {
    case normal = "Normal"
    case warning = "Warning"
  }

  private let client: KubernetesClient
  private let clock: WallClock
  private let instance: String
  private let logger: Logger
  private let repetitions = Mutex(EventRepetitions())

  /// - Parameter instance: which of several controllers tells it, such as its pod's name.
  package init(_ client: KubernetesClient, instance: String, clock: WallClock = .system, logger: Logger) {
    self.client = client
    self.instance = instance
    self.clock = clock
    self.logger = logger
  }

  /// Tells it, unless the same reason was told of this object a moment ago. A failure is logged and no more: nothing
  /// depends on an Event.
  /// - Parameters:
  ///   - reason: one word in UpperCamelCase.
  ///   - message: for people; cut after 1,024 bytes.
  package func tell(
    _ type: EventType, _ reason: String, _ message: String, about object: KubernetesObject,
    of resource: KubernetesResource
  ) async {
    let place = EventRepetitions.Place(object: "\(resource.plural)/\(object.key)", uid: object.uid, reason: reason)
    guard let told = repetitions.withLock({ $0.tell(place, at: .now) }) else { return }
    let event = Self.event(
      type, reason, message, about: object, of: resource, count: told, instance: instance, at: clock.now(),
      suffix: UInt64.random(in: 0 ... .max))
    do throws(KubernetesError) {
      try await client.create(.events, event, in: event["metadata"]?["namespace"]?.string)
    } catch {
      logger.info("an Event is not told: \(error)", metadata: ["object": "\(object.key)", "reason": "\(reason)"])
    }
  }

  static func event(
    _ type: EventType, _ reason: String, _ message: String, about object: KubernetesObject,
    of resource: KubernetesResource, count: Int, instance: String, at now: Timestamp, suffix: UInt64
  ) -> JSONValue {
    // What belongs to the cluster is told of in `default`, as by client-go.
    let namespace = object.namespace ?? "default"
    let digits = String(suffix, radix: 16)
    let time = JSONValue.string(String(now.rfc3339.prefix(19)) + "Z")
    var involved: [String: JSONValue] = [
      "apiVersion": .string(resource.apiVersion), "kind": .string(resource.kind), "name": .string(object.name),
    ]
    if let namespace = object.namespace { involved["namespace"] = .string(namespace) }
    if let uid = object.uid { involved["uid"] = .string(uid) }
    if let version = object.resourceVersion { involved["resourceVersion"] = .string(version) }
    return [
      "apiVersion": "v1", "kind": "Event",
      "metadata": [
        "name": .string("\(object.name.prefix(230)).\(digits)"), "namespace": .string(namespace),
      ],
      "involvedObject": .object(involved), "type": .string(type.rawValue), "reason": .string(reason),
      "message": .string(cut(message, to: 1024)), "count": .number(Double(count)), "firstTimestamp": time,
      "lastTimestamp": time, "reportingComponent": .string(KubernetesClient.fieldManager),
      "reportingInstance": .string(instance),
      "source": ["component": .string(KubernetesClient.fieldManager), "host": .string(instance)],
    ]
  }

  private static func cut(_ text: String, to bytes: Int) -> String {
    guard text.utf8.count > bytes else { return text }
    var cut = text.unicodeScalars.prefix(bytes)
    while String(cut).utf8.count > bytes - 3 { cut.removeLast() }
    return String(cut) + "…"
  }
}
