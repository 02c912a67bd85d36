import AgentProtocols
import CASACore
import CustomResources

/// What keeps Istio's sidecar in a pod, and everything led through it. Istio lets a pod's labels and annotations, and
/// containers with its names, change nearly all of that.
enum IstioRules {
  static let containerNames: Set<String> = ["istio-proxy", "istio-init", "istio-validation"]

  /// Of all that Istio reads in a pod's metadata, what leaves the sidecar as it is; any value unless one is given here.
  private static let harmless: [String: String?] = [
    "istio.io/rev": nil,
    "readiness.status.sidecar.istio.io/applicationPorts": nil,
    "readiness.status.sidecar.istio.io/failureThreshold": nil,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": nil,
    "readiness.status.sidecar.istio.io/periodSeconds": nil,
    "security.istio.io/tlsMode": "istio",
    "service.istio.io/canonical-name": nil, "service.istio.io/canonical-revision": nil,
    "service.istio.io/workload-name": nil,
    "sidecar.istio.io/inject": "true",
    "sidecar.istio.io/proxyCPU": nil, "sidecar.istio.io/proxyCPULimit": nil,
    "sidecar.istio.io/proxyMemory": nil, "sidecar.istio.io/proxyMemoryLimit": nil,
    "sidecar.istio.io/status": nil,
    // What Istio writes itself where its CNI plugin sets up the interception: all of it.
    "sidecar.istio.io/interceptionMode": "REDIRECT",
    "traffic.sidecar.istio.io/excludeInboundPorts": "15020",
    "traffic.sidecar.istio.io/includeInboundPorts": "*", "traffic.sidecar.istio.io/includeOutboundIPRanges": "*",
  ]

  /// Where Istio writes down what a pod's own container of its sidecar's name changes in it: here, what `preparation`
  /// put into the pod. Istio also reads it, so it must say nothing else.
  private static let overrides = "proxy.istio.io/overrides"

  /// What Istio's sidecar gets of ours: the key by which the authorization service knows it, out of the workload's
  /// Secret, so that it stands in no EnvoyFilter. Istio mixes a container of this name and image into the one that it
  /// makes.
  static let proxy = "istio-proxy"
  static let keyVariable = "CASA_SIDECAR_KEY"

  private static func key(of workload: String) -> JSONValue {
    [
      "name": .string(keyVariable),
      "valueFrom": [
        "secretKeyRef": ["name": .string(WorkloadName.secretPrefix + workload), "key": "sidecar-key"]
      ],
    ]
  }

  /// What is put into a pod before Istio is asked.
  static func preparation(of pod: JSONValue, named name: String) throws(AdmissionRefusal) -> [JSONPatchOperation] {
    let fields = try Fields(pod, at: "")
    try requireUnprepared(fields)
    let workload = try WorkloadName.of(fields, named: name)
    let containers = try fields.fields("spec").array("containers")
    let sidecar: JSONValue = ["name": .string(proxy), "image": "auto", "env": [key(of: workload)]]
    let label = JSONValue.string(WorkloadLabel.value(of: workload))
    let labels = pod["metadata"]?["labels"]
    let labelled =
      if pod["metadata"]?.object == nil {
        JSONPatchOperation(.add, at: ["metadata"], ["labels": .object([WorkloadLabel.key: label])])
      } else if labels?.object == nil {
        JSONPatchOperation(.add, at: ["metadata", "labels"], .object([WorkloadLabel.key: label]))
      } else {
        // Also replaces what is there.
        JSONPatchOperation(.add, at: ["metadata", "labels", WorkloadLabel.key], label)
      }
    return [labelled, JSONPatchOperation(.add, at: ["spec", "containers"], .array(containers + [sidecar]))]
  }

  /// Before Istio was asked, a pod has nothing of Istio's: what it brings would be mixed into the real sidecar.
  private static func requireUnprepared(_ pod: Fields) throws(AdmissionRefusal) {
    for list in GuardedPod.containerLists {
      for container in try pod.fields("spec").list(list)
      where containerNames.contains(try container.string("name") ?? "") {
        throw AdmissionRefusal("\(container.path) must not have a name of Istio's: Istio puts it there")
      }
    }
  }

  static func reasons(_ pod: Fields, _ configuration: InjectionConfiguration) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    let metadata = try pod.fields("metadata")
    let workload = try WorkloadName.of(pod, named: "")
    for member in ["labels", "annotations"] {
      for (key, value) in try metadata.texts(member).sorted(by: { $0.key < $1.key }) where isIstios(key) {
        if member == "annotations", key == overrides {
          if !onlyAddsKey(value, of: workload) {
            reasons.append(
              "metadata.annotations[\(key)] must add \(keyVariable) to istio-proxy and change nothing else")
          }
          continue
        }
        guard let needed = harmless[key] else {
          reasons.append("metadata.\(member)[\(key.bounded(to: 128))] must be left out: it changes Istio's sidecar")
          continue
        }
        if let needed, value != needed {
          reasons.append("metadata.\(member)[\(key)] must be \(needed); got '\(value.bounded(to: 32))'")
        }
      }
    }
    var proxies = 0
    let spec = try pod.fields("spec")
    if try metadata.texts("labels")[WorkloadLabel.key] != WorkloadLabel.value(of: workload) {
      reasons.append("metadata.labels[\(WorkloadLabel.key)] must be \(WorkloadLabel.value(of: workload))")
    }
    for list in GuardedPod.containerLists {
      for container in try spec.list(list) {
        let name = try container.string("name") ?? ""
        guard containerNames.contains(name) else { continue }
        if name == proxy { proxies += 1 }
        if let image = configuration.istioProxyImage, try container.string("image") != image {
          reasons.append("\(container.path).image must be \(image), as Istio has it")
        }
        if try container.fields("securityContext").bool("privileged") == true {
          reasons.append("\(container.path).securityContext.privileged must not be true")
        }
        let others = try container.array("env").filter { $0 != key(of: workload) }
        if name == proxy, others.count + 1 != (try container.array("env").count) {
          reasons.append(
            "\(container.path) must have \(keyVariable) of the workload's Secret once: /mutate puts it there")
        }
        if PodRules.namesOurs(JSONValue.object(container.members).setting("env", to: .array(others))) {
          reasons.append("\(container.path) must not name \(WorkloadName.secretPrefix)*")
        }
      }
    }
    for container in try spec.list("ephemeralContainers") {
      let names = [try container.string("name") ?? "", try container.string("targetContainerName") ?? ""]
      if names.contains(where: { containerNames.contains($0) }) {
        reasons.append("\(container.path) must not be, or look into, one of Istio's containers")
      }
    }
    if proxies != 1 {
      reasons.append("the pod must have one container istio-proxy, which Istio puts there; got \(proxies)")
    }
    return reasons
  }

  /// Whether overrides are those that come of `preparation`, beside what an API server fills into any container.
  private static func onlyAddsKey(_ text: String, of workload: String) -> Bool {
    guard let json = try? JSONValue(parsing: Array(text.utf8), limits: .message), let lists = json.object,
      lists.count == 1, let (list, containers) = lists.first, ["containers", "initContainers"].contains(list),
      let container = containers.array?.first?.object, containers.array?.count == 1
    else { return false }
    return container.allSatisfy { member, value in
      switch member {
      case "name": value == .string(proxy)
      case "env": value == [key(of: workload)]
      case "resources": value == [:]
      case "terminationMessagePath": value == "/dev/termination-log"
      case "terminationMessagePolicy": value == "File"
      case "imagePullPolicy": value == "Always" || value == "IfNotPresent"
      case "volumeMounts":
        value.array?.allSatisfy {
          $0["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" && $0["readOnly"] == true
            && $0.object?.count == 3 && $0["name"]?.string?.hasPrefix("kube-api-access-") == true
        } == true
      default: false
      }
    }
  }

  /// Whether a label or annotation is one of Istio's.
  private static func isIstios(_ key: String) -> Bool {
    guard let slash = key.firstIndex(of: "/") else { return false }
    let domain = key[..<slash]
    return domain == "istio.io" || domain.hasSuffix(".istio.io")
  }
}
