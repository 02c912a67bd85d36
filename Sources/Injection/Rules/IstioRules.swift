import CASACore

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
  ]

  /// Before Istio was asked, a pod has nothing of Istio's: what it brings would be mixed into the real sidecar.
  static func requireUnprepared(_ pod: Fields) throws(AdmissionRefusal) {
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
    for member in ["labels", "annotations"] {
      for (key, value) in try metadata.texts(member).sorted(by: { $0.key < $1.key }) where isIstios(key) {
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
    for list in GuardedPod.containerLists {
      for container in try spec.list(list) {
        let name = try container.string("name") ?? ""
        guard containerNames.contains(name) else { continue }
        if name == "istio-proxy" { proxies += 1 }
        if let image = configuration.istioProxyImage, try container.string("image") != image {
          reasons.append("\(container.path).image must be \(image), as Istio has it")
        }
        if try container.fields("securityContext").bool("privileged") == true {
          reasons.append("\(container.path).securityContext.privileged must not be true")
        }
        if PodRules.namesOurs(.object(container.members)) {
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

  /// Whether a label or annotation is one of Istio's.
  private static func isIstios(_ key: String) -> Bool {
    guard let slash = key.firstIndex(of: "/") else { return false }
    let domain = key[..<slash]
    return domain == "istio.io" || domain.hasSuffix(".istio.io")
  }
}
