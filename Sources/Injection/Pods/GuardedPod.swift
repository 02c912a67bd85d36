import AgentProtocols
import CASACore
import CustomResources
import Sidecar

/// A pod with and without what injection puts into it; both directions are pure.
struct GuardedPod {
  let configuration: InjectionConfiguration
  /// By what the pod is known when it has no name in its metadata.
  let name: String

  static let containerLists = ["initContainers", "containers"]

  // MARK: With

  /// The pod with everything that injection puts there.
  /// - Throws: `AdmissionRefusal` when the pod can't be read, or asks for something that can't be kept.
  func guarded(_ pod: JSONValue) throws(AdmissionRefusal) -> JSONValue {
    let fields = try Fields(pod, at: "")
    let workload = try WorkloadName.of(fields, named: name)
    let parts = InjectedParts(configuration: configuration, workload: workload)
    guard let spec = try fields.optionalFields("spec") else {
      throw AdmissionRefusal(malformed: "spec", expected: "there")
    }
    var probes = WorkloadProbes()
    var reasons: [String] = []
    var lists: [String: [JSONValue]] = [:]
    for list in Self.containerLists {
      for container in try spec.list(list) {
        lists[list, default: []].append(try restricted(container, spec, handing: &probes, reasons: &reasons))
      }
    }
    guard probes.probes.count <= WorkloadProbes.maximumCount, probes.text.utf8.count <= WorkloadProbes.maximumBytes
    else {
      throw AdmissionRefusal(
        "the pod's probes must be at most \(WorkloadProbes.maximumCount) of \(WorkloadProbes.maximumBytes) bytes")
    }
    guard reasons.isEmpty else { throw AdmissionRefusal(reasons) }
    var made = JSONValue.object(spec.members)
    made = made.setting(
      "initContainers", to: .array(parts.initContainers(probes: probes) + (lists["initContainers"] ?? [])))
    made = made.setting("containers", to: .array(parts.containers(probes: probes) + (lists["containers"] ?? [])))
    made = made.setting("volumes", to: .array(try spec.array("volumes") + parts.volumes))
    if configuration.defaultUser != nil, !(try namesUser(spec)) {
      made = made.setting("securityContext", to: try withDefaultUser(spec))
    }
    let metadata = try fields.fields("metadata")
    let labels = JSONValue.object(try metadata.fields("labels").members)
      .setting(InjectedParts.label, to: "true")
      // Over whatever the author wrote: by it a pod gets the network's policies.
      .setting(WorkloadLabel.key, to: .string(WorkloadLabel.value(of: workload)))
    let annotations = JSONValue.object(try metadata.fields("annotations").members)
      .setting(InjectedParts.imageAnnotation, to: .string(configuration.image))
    return pod.setting("spec", to: made).setting(
      "metadata",
      to: JSONValue.object(metadata.members).setting("labels", to: labels).setting("annotations", to: annotations))
  }

  /// An app's container whose probes go to the sidecar, and whose processes can't become the sidecar's user.
  private func restricted(
    _ container: Fields, _ spec: Fields, handing probes: inout WorkloadProbes, reasons: inout [String]
  ) throws(AdmissionRefusal) -> JSONValue {
    var made = JSONValue.object(container.members)
    let security = try container.fields("securityContext")
    var restricted = JSONValue.object(security.members)
    if security["allowPrivilegeEscalation"] == nil {
      restricted = restricted.setting("allowPrivilegeEscalation", to: false)
    }
    let capabilities = try security.fields("capabilities")
    if !(try capabilities.strings("drop")).contains("ALL") {
      restricted = restricted.setting(
        "capabilities", to: JSONValue.object(capabilities.members).setting("drop", to: ["ALL"]))
    }
    made = made.setting("securityContext", to: restricted)
    guard let containerName = try container.string("name") else {
      throw AdmissionRefusal(malformed: container.place("name"), expected: "there")
    }
    var ports: [String: Int] = [:]
    for port in try container.list("ports") {
      guard let name = try port.string("name"), let number = try port.integer("containerPort") else { continue }
      ports[name] = Int(number)
    }
    for kind in WorkloadProbes.Kind.allCases {
      guard let fields = try container.optionalFields(kind.member) else { continue }
      guard let name = WorkloadProbes.Name("\(containerName)/\(kind.rawValue)") else {
        throw AdmissionRefusal(malformed: container.place("name"), expected: "a DNS label")
      }
      let probe: WorkloadProbe?
      do throws(InvalidField) {
        probe = try WorkloadProbe(.object(fields.members), namedPorts: ports)
      } catch {
        reasons.append("\(fields.path): \(error)")
        continue
      }
      guard let probe else { continue }
      guard !InjectedParts.ports.contains(Int64(probe.port)) else {
        reasons.append("\(fields.path): port \(probe.port) is the sidecar's; expected one of the app's")
        continue
      }
      probes[name] = probe
      made = made.setting(
        kind.member,
        to: JSONValue.object(fields.members).setting(probe.handler.name, to: nil)
          .setting("httpGet", to: InjectedParts.handler(path: name.path))
          .setting("timeoutSeconds", to: .number(Double(probe.timeoutSeconds))))
    }
    return made
  }

  private func namesUser(_ spec: Fields) throws(AdmissionRefusal) -> Bool {
    try spec.fields("securityContext")["runAsUser"] != nil
  }

  private func withDefaultUser(_ spec: Fields) throws(AdmissionRefusal) -> JSONValue {
    JSONValue.object(try spec.fields("securityContext").members)
      .setting("runAsUser", to: configuration.defaultUser.map { .number(Double($0)) })
  }

  // MARK: Without

  /// Whether anything in the pod looks as if injection had put it there.
  static func bearsMarks(_ pod: JSONValue) throws(AdmissionRefusal) -> Bool {
    let fields = try Fields(pod, at: "")
    let metadata = try fields.fields("metadata")
    guard metadata["labels"]?[InjectedParts.label] == nil,
      metadata["annotations"]?[InjectedParts.imageAnnotation] == nil
    else { return true }
    let spec = try fields.fields("spec")
    for list in containerLists + ["volumes"] {
      for element in try spec.list(list)
      where try element.string("name")?.hasPrefix(InjectedParts.reservedPrefix) == true { return true }
    }
    return false
  }

  /// The pod as it was before injection, for which the sidecar's own environment tells the apps' probes. Whatever was
  /// not as injection leaves it shows when the result is injected again.
  /// - Throws: `AdmissionRefusal` when the pod can't be read.
  static func bare(_ pod: JSONValue) throws(AdmissionRefusal) -> JSONValue {
    let fields = try Fields(pod, at: "")
    let spec = try fields.fields("spec")
    let probes = try handedProbes(spec)
    var made = JSONValue.object(spec.members)
    for list in containerLists where spec[list] != nil {
      var kept: [JSONValue] = []
      for container in try spec.list(list) {
        let name = try container.string("name") ?? ""
        guard !InjectedParts.containerNames.contains(name) else { continue }
        kept.append(restored(container, named: name, probes))
      }
      made = made.setting(list, to: .array(kept))
    }
    var volumes: [JSONValue] = []
    for volume in try spec.list("volumes")
    where !InjectedParts.volumeNames.contains(try volume.string("name") ?? "") {
      volumes.append(.object(volume.members))
    }
    made = made.setting("volumes", to: .array(volumes))
    let metadata = try fields.fields("metadata")
    let labels = JSONValue.object(try metadata.fields("labels").members).setting(InjectedParts.label, to: nil)
      .setting(WorkloadLabel.key, to: nil)
    let annotations = JSONValue.object(try metadata.fields("annotations").members)
      .setting(InjectedParts.imageAnnotation, to: nil)
    return pod.setting("spec", to: made).setting(
      "metadata",
      to: JSONValue.object(metadata.members).setting("labels", to: labels).setting("annotations", to: annotations))
  }

  private static func restored(_ container: Fields, named name: String, _ probes: WorkloadProbes) -> JSONValue {
    var made = JSONValue.object(container.members)
    for kind in WorkloadProbes.Kind.allCases {
      guard let probe = probes[WorkloadProbes.Name(container: name, kind: kind)], let rewritten = made[kind.member]
      else { continue }
      let (handler, value) = probe.handler
      made = made.setting(
        kind.member,
        to: rewritten.setting("httpGet", to: nil).setting(handler, to: value))
    }
    return made
  }

  /// What the sidecar's container has in `CASA_PROBES`; nothing when there is no such container.
  private static func handedProbes(_ spec: Fields) throws(AdmissionRefusal) -> WorkloadProbes {
    for list in containerLists {
      for container in try spec.list(list) where try container.string("name") == InjectedParts.sidecar {
        for variable in try container.list("env") where try variable.string("name") == WorkloadProbes.variable {
          let text = try variable.string("value") ?? ""
          do throws(ConfigurationError) {
            return try WorkloadProbes(parsing: text)
          } catch {
            throw AdmissionRefusal("\(variable.path): \(error)")
          }
        }
      }
    }
    return WorkloadProbes()
  }

  // MARK: Comparing

  /// Where a pod is not as `expected`, which injection made; nil when it is.
  ///
  /// Left out of account is what Kubernetes adds to every container of a pod after the webhook: the service account's
  /// token, and what the admission plugin AlwaysPullImages sets.
  static func firstDifference(_ pod: JSONValue, from expected: JSONValue) -> String? {
    if let difference = difference(
      settled(pod["spec"] ?? .null), settled(expected["spec"] ?? .null), at: "spec")
    {
      return difference
    }
    for (member, name) in InjectedParts.marks
    where pod["metadata"]?[member]?[name] != expected["metadata"]?[member]?[name] {
      return "metadata.\(member)[\(name)]"
    }
    return nil
  }

  private static func difference(_ value: JSONValue, _ expected: JSONValue, at path: String) -> String? {
    if value == expected { return nil }
    if let members = value.object, let others = expected.object {
      for name in Set(members.keys).union(others.keys).sorted() {
        // What is null is as good as missing.
        if let found = difference(members[name] ?? .null, others[name] ?? .null, at: path + "." + name) {
          return found
        }
      }
      return nil
    }
    if let elements = value.array, let others = expected.array, elements.count == others.count {
      for (index, pair) in zip(elements, others).enumerated() {
        if let found = difference(pair.0, pair.1, at: "\(path)[\(index)]") { return found }
      }
      return nil
    }
    // An empty list is as good as a missing one.
    if value == .null, expected == [] { return nil }
    if value == [], expected == .null { return nil }
    return path
  }

  /// A pod's specification, with our own containers as they were before Kubernetes added to them.
  private static func settled(_ spec: JSONValue) -> JSONValue {
    var made = spec
    for list in containerLists {
      guard let containers = spec[list]?.array else { continue }
      made = made.setting(
        list,
        to: .array(
          containers.map { container in
            guard let name = container["name"]?.string, InjectedParts.containerNames.contains(name) else {
              return container
            }
            return settled(container: container)
          }))
    }
    return made
  }

  private static func settled(container: JSONValue) -> JSONValue {
    var made = container.setting("imagePullPolicy", to: nil)
    if let mounts = container["volumeMounts"]?.array {
      made = made.setting(
        "volumeMounts",
        to: .array(
          mounts.filter { mount in
            !(mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" && mount["readOnly"] == true
              && mount["name"]?.string?.hasPrefix("kube-api-access-") == true && mount.object?.count == 3)
          }))
    }
    if let security = made["securityContext"], security["procMount"] == "Default" {
      made = made.setting("securityContext", to: security.setting("procMount", to: nil))
    }
    return made
  }
}
