/// Which cgroups are which workload's.
public enum WorkloadResolver {
  public struct Resolution: Sendable, Hashable {
    /// What map `cgroups` must hold: the workload of each cgroup that one is named for, and `WorkloadID.unnamed` for
    /// those that are guarded or contested.
    public internal(set) var workloads: [UInt64: WorkloadID] = [:]
    /// Names of workloads, in the order of the policy, that no cgroup is of.
    public internal(set) var unmatched: [String] = []
    /// Guarded paths that are not there.
    public internal(set) var missing: [CgroupPath] = []
    /// Paths of cgroups that several workloads claim: they are denied everything until one gives way.
    public internal(set) var contested: [String: [String]] = [:]
    /// Paths of pods' cgroups that nobody knows the pod of.
    public internal(set) var unknownPods: [String] = []
  }

  /// - Parameters:
  ///   - cgroups: those there are.
  ///   - pods: those that run here. A pod that is not among them is no workload's.
  public static func resolve(_ policy: NodePolicy, cgroups: [Cgroup], pods: [PodMetadata]) -> Resolution {
    let claims = Claims(policy)
    let known = Dictionary(pods.map { ($0.uid, $0) }, uniquingKeysWith: { first, _ in first })
    let guarded = Set(policy.guarded.map(\.text))
    var resolution = Resolution()
    var found: Set<Int> = []
    var paths: Set<String> = []
    // Of a thousand containers of the same pods, each pod is looked up once.
    var claimants: [String: [Int]] = [:]
    // Those that are deeper inherit in the kernel too.
    for cgroup in cgroups where cgroup.depth <= CgroupPath.maximumDepth {
      if guarded.contains(cgroup.path) {
        paths.insert(cgroup.path)
        resolution.workloads[cgroup.id] = .unnamed
      }
      var claiming: [Int] = claims.paths[cgroup.path].map { [$0] } ?? []
      if let place = PodCgroup(path: cgroup.path) {
        if let pod = known[place.podUID] {
          let ofPod = claimants[pod.uid] ?? claims.pods.filter { $0.selector.selects(pod) }.map(\.index)
          claimants[pod.uid] = ofPod
          let container = place.containerID.flatMap { pod.containers[$0] }
          claiming += ofPod.filter { index in
            guard case .pod(let selector) = policy.workloads[index].selector else { return false }
            // What is of the pod as a whole is so by the pod's own cgroup.
            return place.containerID == nil
              ? selector.container == nil : selector.container != nil && selector.container == container
          }
        } else {
          resolution.unknownPods.append(cgroup.path)
        }
      }
      found.formUnion(claiming)
      switch claiming.count {
      case 0: continue
      case 1: resolution.workloads[cgroup.id] = policy.workloads[claiming[0]].id
      default:
        resolution.workloads[cgroup.id] = .unnamed
        resolution.contested[cgroup.path] = claiming.sorted().map { policy.workloads[$0].name }
      }
    }
    resolution.unmatched = policy.workloads.indices.filter { !found.contains($0) }.map { policy.workloads[$0].name }
    resolution.missing = policy.guarded.filter { !paths.contains($0.text) }
    return resolution
  }

  /// The selectors of a policy, by what they select.
  private struct Claims {
    var paths: [String: Int] = [:]
    var pods: [(selector: PodSelector, index: Int)] = []

    init(_ policy: NodePolicy) {
      for (index, workload) in policy.workloads.enumerated() {
        switch workload.selector {
        case .path(let path): paths[path.text] = index
        case .pod(let selector): pods.append((selector, index))
        }
      }
    }
  }
}
