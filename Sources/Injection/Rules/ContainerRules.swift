import CASACore

/// What a container of an app may not have.
///
/// The sidecar's packets are known by their user. So no process of an app may be or become that user: it runs as
/// another that is named here, since what an image names can't be seen; it gains nothing by running a program, which
/// rules out programs that run as their owner; and as root it holds no capability to change its user by.
struct ContainerRules {
  let configuration: InjectionConfiguration
  /// The pod's, whose settings a container has that has none of its own.
  let spec: Fields

  private static let allowedCapabilities: Set<String> = ["NET_BIND_SERVICE"]

  func reasons(_ container: Fields) throws(AdmissionRefusal) -> [String] {
    let path = container.path
    var reasons: [String] = []
    let name = try container.string("name") ?? ""
    if name.hasPrefix(InjectedParts.reservedPrefix) {
      reasons.append("\(path).name must not begin with \(InjectedParts.reservedPrefix); got '\(name.bounded(to: 63))'")
    }
    if try container.string("targetContainerName")?.hasPrefix(InjectedParts.reservedPrefix) == true {
      reasons.append("\(path).targetContainerName must not be one of the sidecar's containers")
    }
    reasons += try security(container)
    for port in try container.list("ports") {
      if let number = try port.integer("hostPort"), number != 0 {
        reasons.append("\(port.path).hostPort must be left out: make a Service instead")
      }
      if let number = try port.integer("containerPort"), InjectedParts.ports.contains(number) {
        reasons.append("\(port.path).containerPort must not be \(number), which is the sidecar's")
      }
    }
    for member in ["volumeMounts", "volumeDevices"] {
      for mount in try container.list(member)
      where try mount.string("name")?.hasPrefix(InjectedParts.reservedPrefix) == true {
        reasons.append("\(mount.path) must not be a volume of the sidecar's")
      }
    }
    for member in ["env", "envFrom"] {
      for variable in try container.list(member) where PodRules.namesOurs(.object(variable.members)) {
        reasons.append("\(variable.path) must not name \(WorkloadName.secretPrefix)*: those Secrets are the sidecars'")
      }
    }
    for hook in ["postStart", "preStop"] {
      guard let handler = try container.fields("lifecycle").optionalFields(hook) else { continue }
      for kind in ["httpGet", "tcpSocket"] where handler[kind] != nil {
        reasons.append("\(handler.path).\(kind) would not get past interception: use exec or sleep")
      }
    }
    return reasons
  }

  private func security(_ container: Fields) throws(AdmissionRefusal) -> [String] {
    let security = try container.fields("securityContext")
    let pod = try spec.fields("securityContext")
    var reasons: [String] = []
    let podUser = try pod.integer("runAsUser")
    switch try security.integer("runAsUser") ?? podUser {
    case nil:
      reasons.append(
        "\(security.place("runAsUser")), or the pod's, must be given and not \(InjectedParts.proxyUser): the image's "
          + "own user can't be seen")
    case InjectedParts.proxyUser?:
      reasons.append("\(security.place("runAsUser")) must not be \(InjectedParts.proxyUser), which is the sidecar's")
    default: break
    }
    let group = try security.integer("runAsGroup")
    if group == InjectedParts.proxyUser {
      reasons.append("\(security.place("runAsGroup")) must not be \(InjectedParts.proxyUser), which is the sidecar's")
    } else if configuration.mode == .istio, group == nil, try pod.integer("runAsGroup") == nil {
      // Istio's packet rules go by the group, too; ours by the user alone.
      reasons.append(
        "\(security.place("runAsGroup")), or the pod's, must be given and not \(InjectedParts.proxyUser): Istio lets "
          + "that group's traffic past its sidecar, and the group that the image has for the user can't be seen")
    }
    if try security.bool("privileged") == true {
      reasons.append("\(security.place("privileged")) must not be true")
    }
    if try security.bool("allowPrivilegeEscalation") != false {
      reasons.append(
        "\(security.place("allowPrivilegeEscalation")) must be false: a program could run as the sidecar's user")
    }
    let capabilities = try security.fields("capabilities")
    if !(try capabilities.strings("drop")).contains("ALL") {
      reasons.append("\(capabilities.place("drop")) must hold ALL")
    }
    for added in try capabilities.strings("add") where !Self.allowedCapabilities.contains(added) {
      reasons.append(
        "\(capabilities.place("add")) must hold nothing but NET_BIND_SERVICE; got '\(added.bounded(to: 32))'")
    }
    if let mount = try security.string("procMount"), mount != "Default" {
      reasons.append("\(security.place("procMount")) must be Default")
    }
    reasons += try Self.profiles(security)
    return reasons
  }

  /// What keeps the system calls of a container, or of a whole pod, in bounds.
  static func profiles(_ security: Fields) throws(AdmissionRefusal) -> [String] {
    var reasons: [String] = []
    for name in ["seccompProfile", "appArmorProfile"] {
      let profile = try security.fields(name)
      if try profile.string("type") == "Unconfined" {
        reasons.append("\(profile.place("type")) must not be Unconfined")
      }
    }
    if try security.fields("windowsOptions").bool("hostProcess") == true {
      reasons.append("\(security.place("windowsOptions.hostProcess")) must not be true")
    }
    return reasons
  }
}
