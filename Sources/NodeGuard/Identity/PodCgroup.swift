/// A cgroup that a kubelet made for a pod, or a container runtime within it.
public struct PodCgroup: Sendable, Hashable {
  /// With hyphens.
  public let podUID: String
  /// 64 hexadecimal digits; nil for the pod as a whole.
  public let containerID: String?

  /// Reads a path below the root of cgroup v2, of either cgroup driver (systemd, cgroupfs), for containerd, CRI-O and
  /// Docker, with the roots that kind gives its kubelets. nil for anything else, cgroups within a container among them.
  ///
  /// The kubelet's root must stand where kubelets put it: whoever may make cgroups elsewhere could name them alike.
  public init?(path: String) {
    var rest = path.split(separator: "/", omittingEmptySubsequences: false)[...]
    guard rest.popFirst() == "" else { return nil }
    // A node of kind is itself a container of Docker.
    if rest.first == "docker", let id = rest.dropFirst().first, Self.isContainerID(id) {
      rest = rest.dropFirst(2)
    } else if rest.first == "system.slice", let scope = rest.dropFirst().first, Self.containerID(scope: scope) != nil {
      rest = rest.dropFirst(2)
    }
    guard let uid = Self.systemdPod(&rest) ?? Self.cgroupfsPod(&rest) else { return nil }
    podUID = uid
    guard let leaf = rest.popFirst() else {
      containerID = nil
      return
    }
    guard rest.isEmpty, let id = Self.containerID(scope: leaf) ?? Self.containerID(plain: leaf) else { return nil }
    containerID = id
  }

  /// `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod….slice`, the names repeating those above them.
  private static func systemdPod(_ rest: inout ArraySlice<Substring>) -> String? {
    var levels = rest
    var name = "kubepods"
    if levels.first == "kubelet.slice" {
      levels.removeFirst()
      name = "kubelet-kubepods"
    }
    guard levels.popFirst().map(String.init) == name + ".slice" else { return nil }
    for quality in ["burstable", "besteffort"] where levels.first.map(String.init) == "\(name)-\(quality).slice" {
      levels.removeFirst()
      name += "-" + quality
      break
    }
    let prefix = name + "-pod"
    guard let pod = levels.popFirst(), pod.hasPrefix(prefix), pod.hasSuffix(".slice"),
      // A hyphen would be one more level to systemd.
      let uid = uid(pod.dropFirst(prefix.count).dropLast(6), separator: "_")
    else { return nil }
    rest = levels
    return uid
  }

  /// `kubepods/burstable/pod…`
  private static func cgroupfsPod(_ rest: inout ArraySlice<Substring>) -> String? {
    var levels = rest
    if levels.first == "kubelet" { levels.removeFirst() }
    guard levels.popFirst() == "kubepods" else { return nil }
    if levels.first == "burstable" || levels.first == "besteffort" { levels.removeFirst() }
    guard let pod = levels.popFirst(), pod.hasPrefix("pod"), let uid = uid(pod.dropFirst(3), separator: "-") else {
      return nil
    }
    rest = levels
    return uid
  }

  /// A UUID, or the 32 digits that a pod from a file has.
  private static func uid(_ text: Substring, separator: Character) -> String? {
    let groups = text.split(separator: separator, omittingEmptySubsequences: false)
    let lengths = groups.map(\.utf8.count)
    guard lengths == [8, 4, 4, 4, 12] || lengths == [32], groups.allSatisfy(isHexadecimal) else { return nil }
    return groups.joined(separator: "-")
  }

  /// `cri-containerd-….scope`, `crio-….scope` or `docker-….scope`.
  private static func containerID(scope: Substring) -> String? {
    guard scope.hasSuffix(".scope") else { return nil }
    for prefix in ["cri-containerd-", "crio-", "docker-"] where scope.hasPrefix(prefix) {
      let id = scope.dropFirst(prefix.count).dropLast(6)
      if isContainerID(id) { return String(id) }
    }
    return nil
  }

  /// The id alone, before which CRI-O writes its name.
  private static func containerID(plain text: Substring) -> String? {
    let id = text.hasPrefix("crio-") ? text.dropFirst(5) : text
    return isContainerID(id) ? String(id) : nil
  }

  private static func isContainerID(_ text: Substring) -> Bool { text.utf8.count == 64 && isHexadecimal(text) }

  private static func isHexadecimal(_ text: Substring) -> Bool {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
