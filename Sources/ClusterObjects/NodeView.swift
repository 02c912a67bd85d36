public import CASACore
public import CustomResources
import NodeGuard

/// What is known of a cluster, as far as one node's policy depends on it.
public struct NodeView: Sendable, Hashable {
  public var resolution: Resolution
  /// The node's pods.
  public var pods: [NodePod]
  /// The namespaces whose pods are injected, and denied by default: those labelled `casa.io/injection: enabled`. The
  /// cluster's and CASA's own among them don't count.
  public var guardedNamespaces: Set<String>
  public var services: [ClusterService]
  public var endpoints: [ServiceEndpoints]
  /// What apps are at the runtime, by `namespace/name of the system/name of the app`.
  public var appIDs: [String: AppID]

  public init(
    resolution: Resolution, pods: [NodePod], guardedNamespaces: Set<String>, services: [ClusterService],
    endpoints: [ServiceEndpoints], appIDs: [String: AppID] = [:]
  ) {
    self.resolution = resolution
    self.pods = pods
    self.guardedNamespaces = guardedNamespaces
    self.services = services
    self.endpoints = endpoints
    self.appIDs = appIDs
  }
}

/// A pod, as far as a node guard must know it.
public struct NodePod: Sendable, Hashable {
  public struct Container: Sendable, Hashable {
    public let name: String
    /// As the container runtime has it, such as `containerd://…`; nil until it was started.
    public let id: String?
  }

  public let namespace: String
  public let name: String
  /// By which the kubelet names the pod's cgroup.
  public let uid: String
  /// Whether the uid is that of a pod from a file on the node, as an annotation says that anybody may have written.
  public let isMirror: Bool
  public let labels: [String: String]
  public let addresses: [String]
  public let isHostNetworked: Bool
  /// Whether all its containers have ended for good.
  public let isOver: Bool
  /// Those that are started before the others and those for debugging among them.
  public let containers: [Container]

  /// - Parameter json: as the API server has it; nil for what is no pod.
  public init?(json: JSONValue) {
    guard let metadata = json["metadata"], let namespace = metadata["namespace"]?.string,
      let name = metadata["name"]?.string, let uid = metadata["uid"]?.string
    else { return nil }
    self.namespace = namespace
    self.name = name
    // Of a pod from a file on the node the API server knows only a likeness.
    let mirrored = metadata["annotations"]?["kubernetes.io/config.mirror"]?.string
    isMirror = mirrored != nil
    self.uid = mirrored ?? uid
    labels = metadata["labels"]?.object?.compactMapValues(\.string) ?? [:]
    let (spec, status) = (json["spec"], json["status"])
    isHostNetworked = spec?["hostNetwork"]?.bool ?? false
    isOver = ["Succeeded", "Failed"].contains(status?["phase"]?.string)
    let listed = status?["podIPs"]?.array?.compactMap { $0["ip"]?.string } ?? []
    addresses = listed.isEmpty ? (status?["podIP"]?.string).map { [$0] } ?? [] : listed
    var ids: [String: String] = [:]
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
      for container in status?[list]?.array ?? [] {
        guard let name = container["name"]?.string, let id = container["containerID"]?.string, !id.isEmpty else {
          continue
        }
        ids[name] = id
      }
    }
    containers = ["initContainers", "containers", "ephemeralContainers"]
      .flatMap { spec?[$0]?.array?.compactMap { $0["name"]?.string } ?? [] }
      .map { Container(name: $0, id: ids[$0]) }
  }
}

extension [String] {
  /// The addresses among these, each once, as a policy's file has them. One that the node guard does not read, or that
  /// two apps spell in two ways, would keep it from taking over the policy of all the node's workloads.
  fileprivate var policyAddresses: [String] {
    var known: Set<NetworkAddress> = []
    return compactMap { NetworkAddress($0) }.filter { known.insert($0).inserted }.map(\.description)
  }
}

/// A Service's own addresses.
public struct ClusterService: Sendable, Hashable {
  public let namespace: String
  public let name: String
  /// As a policy's file has them; none for one without an address of its own.
  public let addresses: [String]
  /// The names of its TCP ports; the only port may have none.
  public let portNames: [Int: String]

  /// - Parameter json: as the API server has it; nil for what is no Service.
  public init?(json: JSONValue) {
    guard let namespace = json["metadata"]?["namespace"]?.string, let name = json["metadata"]?["name"]?.string else {
      return nil
    }
    self.namespace = namespace
    self.name = name
    let spec = json["spec"]
    let listed = spec?["clusterIPs"]?.array?.compactMap(\.string) ?? []
    // `None` is no address either.
    addresses = (listed.isEmpty ? (spec?["clusterIP"]?.string).map { [$0] } ?? [] : listed).policyAddresses
    var names: [Int: String] = [:]
    for port in spec?["ports"]?.array ?? [] where port["protocol"]?.string ?? "TCP" == "TCP" {
      if let number = port["port"]?.integer { names[Int(number)] = port["name"]?.string ?? "" }
    }
    portNames = names
  }
}

/// Where a Service's pods are: an EndpointSlice, one of several of the Service.
public struct ServiceEndpoints: Sendable, Hashable {
  public let namespace: String
  public let service: String
  /// As a policy's file has them.
  public let addresses: [String]
  /// The pods' ports, by the names that the Service gives them.
  public let ports: [String: Int]

  /// - Parameter json: as the API server has it; nil for what is no EndpointSlice of a Service.
  public init?(json: JSONValue) {
    guard let namespace = json["metadata"]?["namespace"]?.string,
      let service = json["metadata"]?["labels"]?["kubernetes.io/service-name"]?.string,
      json["addressType"]?.string != "FQDN"
    else { return nil }
    self.namespace = namespace
    self.service = service
    // Those that aren't ready, too: a connection to one that ends is closed as it would be anyhow.
    let listed = json["endpoints"]?.array?.flatMap { $0["addresses"]?.array?.compactMap(\.string) ?? [] } ?? []
    addresses = listed.policyAddresses
    var ports: [String: Int] = [:]
    for port in json["ports"]?.array ?? [] where port["protocol"]?.string ?? "TCP" == "TCP" {
      if let number = port["port"]?.integer { ports[port["name"]?.string ?? ""] = Int(number) }
    }
    self.ports = ports
  }
}
