import CASACore

/// Who holds a Lease, and since when (coordination.k8s.io/v1). Its times are for people; nothing is decided by them.
struct LeaseRecord: Sendable, Hashable {
  /// Empty when nobody does.
  var holder: String
  var durationSeconds: Int64
  var acquired: String
  var renewed: String
  /// How often it went from one holder to another.
  var transitions: Int64
  /// Which state of the Lease this is.
  var resourceVersion: String?

  init(holder: String, durationSeconds: Int64, at now: Timestamp, transitions: Int64 = 0) {
    self.holder = holder
    self.durationSeconds = durationSeconds
    acquired = Self.time(now)
    renewed = acquired
    self.transitions = transitions
  }

  /// Missing members are those of a Lease that nobody holds.
  init(_ lease: KubernetesObject) {
    let spec = lease["spec"]
    holder = spec?["holderIdentity"]?.string ?? ""
    durationSeconds = spec?["leaseDurationSeconds"]?.integer ?? 0
    acquired = spec?["acquireTime"]?.string ?? ""
    renewed = spec?["renewTime"]?.string ?? ""
    transitions = spec?["leaseTransitions"]?.integer ?? 0
    resourceVersion = lease.resourceVersion
  }

  func json(_ key: ObjectKey) -> JSONValue {
    var metadata: [String: JSONValue] = ["name": .string(key.name)]
    if let namespace = key.namespace { metadata["namespace"] = .string(namespace) }
    if let resourceVersion { metadata["resourceVersion"] = .string(resourceVersion) }
    var spec: [String: JSONValue] = [
      "leaseDurationSeconds": .number(Double(durationSeconds)), "leaseTransitions": .number(Double(transitions)),
      "holderIdentity": .string(holder),
    ]
    if !acquired.isEmpty { spec["acquireTime"] = .string(acquired) }
    if !renewed.isEmpty { spec["renewTime"] = .string(renewed) }
    return [
      "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": .object(metadata), "spec": .object(spec),
    ]
  }

  /// A MicroTime: exactly six digits of a second.
  static func time(_ moment: Timestamp) -> String { String(moment.rfc3339.dropLast()) + "000Z" }
}
