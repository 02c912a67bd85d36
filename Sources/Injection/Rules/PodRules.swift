import CASACore
import Sidecar

/// What a pod beside a sidecar may not have, whoever made the sidecar: each of it is a way past the sidecar, to its
/// secrets or into its processes.
struct PodRules {
  let configuration: InjectionConfiguration

  /// - Throws: `AdmissionRefusal` with every reason there is.
  func require(_ pod: JSONValue) throws(AdmissionRefusal) {
    let reasons = try reasons(pod)
    guard reasons.isEmpty else { throw AdmissionRefusal(reasons) }
  }

  /// Why a pod may not be; empty when it may.
  /// - Throws: `AdmissionRefusal` when it can't be read.
  func reasons(_ pod: JSONValue) throws(AdmissionRefusal) -> [String] {
    let fields = try Fields(pod, at: "")
    let metadata = try fields.fields("metadata")
    let spec = try fields.fields("spec")
    var reasons = try optOuts(metadata)
    reasons += try sharing(spec)
    reasons += try names(spec)
    reasons += try podSecurity(spec.fields("securityContext"))
    reasons += try volumes(spec)
    for list in ["initContainers", "containers", "ephemeralContainers"] {
      for container in try spec.list(list) where !(try isSidecar(container)) {
        reasons += try ContainerRules(configuration: configuration, spec: spec).reasons(container)
      }
    }
    if configuration.mode == .istio { reasons += try IstioRules.reasons(fields, configuration) }
    return reasons
  }

  /// Whether a container is one of those that belong to the sidecar; what they must be like is said elsewhere.
  private func isSidecar(_ container: Fields) throws(AdmissionRefusal) -> Bool {
    let name = try container.string("name") ?? ""
    switch configuration.mode {
    case .cilium: return InjectedParts.containerNames.contains(name)
    case .istio: return IstioRules.containerNames.contains(name)
    }
  }

  private func optOuts(_ metadata: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    for member in ["labels", "annotations"] {
      let found = try metadata.texts(member)[InjectedParts.injectionLabel]
      if let found, found != "enabled" {
        reasons.append(
          "metadata.\(member)[\(InjectedParts.injectionLabel)] must not be '\(found.bounded(to: 32))': a namespace is "
            + "guarded as a whole, and an administrator decides about it")
      }
    }
    // The node guard knows a pod from a file by the uid that its likeness names; a kubelet's likenesses are made in
    // namespaces that nobody guards.
    if try metadata.texts("annotations")["kubernetes.io/config.mirror"] != nil {
      reasons.append(
        "metadata.annotations[kubernetes.io/config.mirror] must be left out: it says that the pod is another")
    }
    return reasons
  }

  /// What a pod shares with its node, and its containers with each other.
  private func sharing(_ spec: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    for name in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] where try spec.bool(name) == true {
      reasons.append("spec.\(name) must not be true: it lets an app past its sidecar or into its processes")
    }
    if try spec.fields("os").string("name") == "windows" {
      reasons.append("spec.os.name must not be windows: traffic is intercepted on Linux only")
    }
    return reasons
  }

  /// What decides which address a name has: the sidecar finds the runtime and the LLM by their names, in the pod's own
  /// files.
  private func names(_ spec: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    if !(try spec.array("hostAliases")).isEmpty {
      reasons.append("spec.hostAliases must be empty: it would say where the sidecar finds the runtime")
    }
    if try spec.string("dnsPolicy") == "None" {
      reasons.append("spec.dnsPolicy must not be None: apps ask the cluster's resolvers only")
    }
    let dns = try spec.fields("dnsConfig")
    for name in ["nameservers", "searches"] where !(try dns.array(name)).isEmpty {
      reasons.append("spec.dnsConfig.\(name) must be empty: apps ask the cluster's resolvers only")
    }
    if try spec.string("hostnameOverride")?.isEmpty == false {
      reasons.append("spec.hostnameOverride must be left out: the pod would be found under another's name")
    }
    return reasons
  }

  private func podSecurity(_ security: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    for name in ["runAsUser", "runAsGroup", "fsGroup"] where try security.integer(name) == InjectedParts.proxyUser {
      reasons.append("\(security.place(name)) must not be \(InjectedParts.proxyUser), which is the sidecar's")
    }
    if try security.array("supplementalGroups").contains(.number(Double(InjectedParts.proxyUser))) {
      reasons.append(
        "\(security.place("supplementalGroups")) must not hold \(InjectedParts.proxyUser), which is the sidecar's")
    }
    for sysctl in try security.list("sysctls") {
      let name = try sysctl.string("name") ?? ""
      // Slashes mean the same as dots to the kernel.
      if !Self.harmlessSettings.contains(name.split(separator: "/").joined(separator: ".")) {
        reasons.append("\(sysctl.path) must be one that Kubernetes calls safe; got '\(name.bounded(to: 64))'")
      }
    }
    reasons += try ContainerRules.profiles(security)
    return reasons
  }

  /// What a kubelet takes without being told to.
  private static let harmlessSettings: Set<String> = [
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
  ]

  private func volumes(_ spec: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    for volume in try spec.list("volumes") {
      let name = try volume.string("name") ?? ""
      if configuration.mode == .cilium, InjectedParts.volumeNames.contains(name) { continue }
      if name.hasPrefix(InjectedParts.reservedPrefix) {
        reasons.append(
          "\(volume.path).name must not begin with \(InjectedParts.reservedPrefix), which is the sidecar's")
      }
      if volume["hostPath"] != nil {
        reasons.append("\(volume.path) must not be a hostPath: it reaches the kubelet's copies of Secrets")
      }
      if Self.namesOurs(.object(volume.members)) {
        reasons.append("\(volume.path) must not name \(WorkloadName.secretPrefix)*: those Secrets are the sidecars'")
      }
    }
    for secret in try spec.list("imagePullSecrets") where Self.namesOurs(.object(secret.members)) {
      reasons.append("\(secret.path) must not name \(WorkloadName.secretPrefix)*: those Secrets are the sidecars'")
    }
    return reasons
  }

  /// Whether anything within names the Secret of a workload, or a volume of ours, wherever Kubernetes takes a name.
  static func namesOurs(_ value: JSONValue) -> Bool {
    switch value {
    case .object(let members):
      members.contains { name, value in
        if ["name", "secretName", "volumeName", "claimName"].contains(name), let text = value.string,
          text.hasPrefix(InjectedParts.workloadVolume) || text == InjectedParts.runVolume
        {
          return true
        }
        return namesOurs(value)
      }
    case .array(let elements): elements.contains { namesOurs($0) }
    default: false
    }
  }
}
