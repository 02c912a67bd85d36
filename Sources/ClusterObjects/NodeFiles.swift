import AgentProtocols
import CASACore
import CustomResources
import NodeGuard
import Sidecar

/// What the node guard of one node reads: its policy, and the pods that run there.
///
/// No cgroup is `guarded` as a whole. Below kubelets' roots every pod of the node has its cgroup, those of the network
/// and of storage among them, and what nobody names there would be denied everything. Instead each pod of an injected
/// namespace is a workload without any right, by its uid, which is known before the kubelet makes its cgroup; and each
/// of its containers that is known is a workload of its own within. So what CASA does not know in such a pod
/// (containers that have no id yet, those for debugging, the one that holds the namespaces) is denied everything, and
/// other namespaces' pods are left alone.
public struct NodeFiles: Sendable, Hashable {
  /// JSON that `NodePolicy` reads.
  public let policy: String
  /// JSON that `PodDirectoryFile` reads.
  public let pods: String
  /// What was left out, and so is denied, and why; for the log.
  public let problems: [String]

  public init(of view: NodeView, settings: ClusterSettings) {
    var writing = NodePolicyWriting(view, settings)
    let pods = Self.believed(view.pods)
    let guarded = view.guardedNamespaces.subtracting(settings.exemptNamespaces)
    for pod in pods.sorted(by: { ($0.namespace, $0.name) < ($1.namespace, $1.name) })
    where !pod.isOver && guarded.contains(pod.namespace) {
      writing.write(pod)
    }
    policy = writing.json.canonicalText
    problems = writing.problems
    self.pods = Self.listing(pods).canonicalText
  }

  /// The pods without those that only say that they are the likeness of one from a file. Whoever makes pods can write
  /// any uid there: a real pod's, which would be denied everything then, or none, which would spoil the policy.
  private static func believed(_ pods: [NodePod]) -> [NodePod] {
    let real = Set(pods.filter { !$0.isMirror }.map(\.uid))
    return pods.filter { !$0.isMirror || isUID($0.uid) && !real.contains($0.uid) }
  }

  /// Whether a kubelet could name a cgroup by it.
  private static func isUID(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) || byte == UInt8(ascii: "-")
      }
  }

  /// - Throws: what the node guard would say of the policy. It takes none over that it can't read.
  public func check() throws { _ = try NodePolicy(parsing: Array(policy.utf8)) }

  private static func listing(_ pods: [NodePod]) -> JSONValue {
    let listed = pods.filter { !$0.isOver }.sorted { $0.uid < $1.uid }.map { pod -> JSONValue in
      [
        "uid": .string(pod.uid), "namespace": .string(pod.namespace), "name": .string(pod.name),
        "containers": .array(
          pod.containers.compactMap { container in
            container.id.map { ["id": .string($0), "name": .string(container.name)] }
          }),
      ]
    }
    return ["pods": .array(listed)]
  }
}

/// One policy while it is written.
private struct NodePolicyWriting {
  /// The containers of ours beside an app's.
  private enum Container {
    static let sidecar = "casa-sidecar"
    static let authorize = "casa-authorize"
    static let istio = "istio-proxy"
  }

  private let view: NodeView
  private let settings: ClusterSettings
  private let services: [String: ClusterService]
  private let endpoints: [String: [ServiceEndpoints]]
  private let resolvers: [String]
  private var workloads: [JSONValue] = []
  private(set) var problems: [String] = []

  init(_ view: NodeView, _ settings: ClusterSettings) {
    self.view = view
    self.settings = settings
    services = Dictionary(
      view.services.map { ("\($0.namespace)/\($0.name)", $0) }, uniquingKeysWith: { first, _ in first })
    endpoints = Dictionary(grouping: view.endpoints) { "\($0.namespace)/\($0.service)" }
    let key = "\(settings.dnsNamespace)/\(settings.dnsService)"
    let pods = (endpoints[key] ?? []).flatMap(\.addresses).sorted()
    let known = (settings.dnsAddresses + (services[key]?.addresses ?? []) + pods).reduce(into: [String]()) {
      if !$0.contains($1) { $0.append($1) }
    }
    resolvers = Array(known.prefix(Self.maximumResolvers))
    if known.count > resolvers.count {
      problems.append("of \(known.count) DNS servers only \(resolvers.joined(separator: ", ")) may be asked")
    }
    if known.isEmpty { problems.append("no DNS server is known (\(key)), so no names may be asked for") }
  }

  private static let maximumResolvers = 4
  private static let maximumRules = 64
  private static let maximumNameBytes = 253

  var json: JSONValue {
    var members: [String: JSONValue] = ["workloads": .array(workloads)]
    if !resolvers.isEmpty { members["resolvers"] = .texts(resolvers) }
    let endpoints = appEndpoints
    if !endpoints.isEmpty { members["endpoints"] = .object(endpoints) }
    return .object(members)
  }

  // MARK: Pods

  mutating func write(_ pod: NodePod) {
    // No container has such a name, since none begins with a dot.
    add(pod, ".pod", selector: ["uid": .string(pod.uid)], [:])
    // The network namespace of such a pod is the node's, and what would be let through to a proxy, too much.
    guard !pod.isHostNetworked else {
      problems.append("\(pod.namespace)/\(pod.name) shares the node's network, and so reaches nothing")
      return
    }
    let reach = reach(of: pod)
    let isAuthorize = settings.mode == .istio && pod.isAuthorize
    guard reach != nil || isAuthorize else { return }
    for container in pod.containers where container.id != nil {
      let selector: JSONValue = ["uid": .string(pod.uid), "container": .string(container.name)]
      let members: [String: JSONValue]
      switch (container.name, settings.mode) {
      case (Container.sidecar, .cilium): members = sidecar(reach, of: pod, container)
      case (Container.authorize, .cilium): members = authorize(pod, container)
      case ("casa-intercept", .cilium), ("istio-init", .istio), ("istio-validation", .istio): continue
      case (Container.istio, .istio): members = isAuthorize ? authorizeProxy(pod) : sidecar(reach, of: pod, container)
      default: members = app(reach, of: pod, isAuthorize: isAuthorize)
      }
      add(pod, container.name, selector: selector, members, app: reach)
    }
  }

  private func reach(of pod: NodePod) -> Reach? {
    guard let label = pod.labels[WorkloadLabel.key] else { return nil }
    for system in view.resolution.systems where system.object.metadata.namespace == pod.namespace {
      for app in system.apps {
        guard let workload = app.app.workloadName, WorkloadLabel.value(of: workload) == label else { continue }
        return Reach(of: app, in: system, settings: settings)
      }
    }
    return nil
  }

  private mutating func add(
    _ pod: NodePod, _ container: String, selector: JSONValue, _ members: [String: JSONValue], app: Reach? = nil
  ) {
    let room = Self.maximumNameBytes - pod.namespace.utf8.count - container.utf8.count - 2
    let name = "\(pod.namespace)/\(WorkloadLabel.shortened(pod.name, to: room))/\(container)"
    var workload = members
    (workload["name"], workload["pod"]) = (.string(name), selector)
    if let id = app.flatMap({ view.appIDs[$0.id] }) { workload["app_id"] = .string(id.rawValue) }
    // Without one a policy that names hosts is refused as a whole.
    if resolvers.isEmpty { (workload["resolve"], workload["llm"]) = (nil, nil) }
    workloads.append(.object(workload))
  }

  // MARK: Containers

  /// What a pod says to itself is its own business; port 53 is for the resolvers.
  private static let loopback = ["127.0.0.0/8", "::1"]
  private static var toItself: [JSONValue] {
    loopback.map { ["to": .string($0), "ports": ["1-52", "54-65535"]] }
  }
  private static var fromItself: [JSONValue] { loopback.map { ["from": .string($0), "ports": "1-65535"] } }

  /// An app: it may begin any connection, but the kernel lets its packets go to its proxy only. It asks for names.
  private mutating func app(_ reach: Reach?, of pod: NodePod, isAuthorize: Bool) -> [String: JSONValue] {
    let names = isAuthorize ? settings.lookups(of: settings.runtime, from: pod.namespace).sorted() : reach?.names ?? []
    return [
      "proxy": "127.0.0.1:15001", "resolve": patterns(names, reach?.domains ?? []),
      "outbound": .array(Self.toItself), "inbound": .array(Self.fromItself), "bind": "any",
    ]
  }

  /// The proxy, which alone reaches out.
  private mutating func sidecar(
    _ reach: Reach?, of pod: NodePod, _ container: NodePod.Container
  ) -> [String: JSONValue] {
    guard let reach else { return [:] }
    var destinations = reach.calls.map(\.service)
    if settings.mode == .istio {
      destinations += [AuthorizeObjects.service(of: reach.system), Self.istiod(settings)]
    }
    var hosts = Set<String>()
    for service in destinations {
      hosts.formUnion(settings.lookups(of: settings.hostName(of: service), from: reach.namespace))
    }
    var members = proxy(pod, ports: [15001, 15006] + reach.probePorts)
    if let llm = reach.app.llm {
      if let service = llm.service(from: reach.namespace, settings: settings) {
        destinations.append(service)
        hosts.formUnion(settings.lookups(of: service, from: reach.namespace))
      } else if let host = try? HostName(parsing: llm.host), llm.port != 53 {
        members["llm"] = ["host": .string(host.text), "port": .whole(llm.port), "tls": .bool(llm.isTLS)]
        hosts.formUnion(settings.lookups(of: host.text, from: reach.namespace).filter { $0 != host.text })
      } else {
        problems.append("\(pod.namespace)/\(pod.name): `\(llm.host)` is no host that a node guard knows")
      }
    }
    members["outbound"] = .array(Self.toItself + rules(to: destinations, of: pod, container.name))
    members["resolve"] = patterns(hosts.sorted(), [])
    return members
  }

  /// The authorization service beside an app: it asks the runtime, and its sidecar asks it by a socket of the pod's.
  private mutating func authorize(_ pod: NodePod, _ container: NodePod.Container) -> [String: JSONValue] {
    [
      "outbound": .array(Self.toItself + rules(to: [settings.runtime], of: pod, container.name)),
      "inbound": .array(Self.fromItself),
      "resolve": patterns(
        settings.lookups(of: settings.hostName(of: settings.runtime), from: pod.namespace).sorted(), []),
    ]
  }

  /// Istio's proxy before the authorization service of a system.
  private mutating func authorizeProxy(_ pod: NodePod) -> [String: JSONValue] {
    let destinations = [settings.runtime, Self.istiod(settings)]
    var members = proxy(
      pod, ports: [15001, 15006, ClusterSettings.istioProbePort, ClusterSettings.probePort])
    members["outbound"] = .array(Self.toItself + rules(to: destinations, of: pod, Container.istio))
    let hosts = Set(destinations.flatMap { settings.lookups(of: settings.hostName(of: $0), from: pod.namespace) })
    members["resolve"] = patterns(hosts.sorted(), [])
    return members
  }

  private func proxy(_ pod: NodePod, ports: [Int]) -> [String: JSONValue] {
    [
      "inbound": .array(Self.fromItself + [["from": "any", "ports": .array(ports.map(JSONValue.whole))]]),
      "bind": "any",
    ]
  }

  private static func istiod(_ settings: ClusterSettings) -> ServiceAddress {
    ServiceAddress(namespace: settings.istioNamespace, name: "istiod", port: ClusterSettings.istiodPort)
  }

  // MARK: Parts

  /// A Service's own addresses at its port, and its pods' at theirs, since either may stand in a connection, by what
  /// does the cluster's load balancing.
  private mutating func rules(to destinations: [ServiceAddress], of pod: NodePod, _ container: String) -> [JSONValue] {
    var own: [JSONValue] = []
    var pods: [JSONValue] = []
    for destination in destinations {
      let key = "\(destination.namespace)/\(destination.name)"
      guard let service = services[key], destination.port != 53 else {
        problems.append("\(pod.namespace)/\(pod.name): there is no Service \(key)")
        continue
      }
      own += service.addresses.map { ["to": .string($0), "ports": .whole(destination.port)] }
      let name = service.portNames[destination.port]
      for slice in endpoints[key] ?? [] {
        guard let port = name.flatMap({ slice.ports[$0] }), port != 53 else { continue }
        pods += slice.addresses.map { ["to": .string($0), "ports": .whole(port)] }
      }
    }
    let rules = own + pods
    // Two ranges for each of the two addresses of loopback, the same inbound, and the proxy's ports.
    let room = Self.maximumRules - 16
    if rules.count > room {
      problems.append(
        "\(pod.namespace)/\(pod.name) (\(container)): of \(rules.count) addresses only \(room) have room in a policy")
    }
    return Array(rules.prefix(room))
  }

  /// Names that a node guard can tell from others; those it can't are left out.
  private mutating func patterns(_ names: [String], _ domains: [String]) -> JSONValue {
    var patterns: [String] = []
    for text in names + domains.map({ "*." + $0 }) {
      do {
        let pattern = try NamePattern(parsing: text).description
        if !patterns.contains(pattern) { patterns.append(pattern) }
      } catch {
        let problem = "the name \(text) is left out: \(error)"
        if !problems.contains(problem) { problems.append(problem) }
      }
    }
    return .texts(patterns)
  }

  /// Which app is reached at which addresses, so that flows join sessions. An address is one app's.
  private var appEndpoints: [String: JSONValue] {
    var taken: Set<String> = []
    var found: [String: JSONValue] = [:]
    for system in view.resolution.systems {
      for app in system.apps {
        guard let entrance = app.app.entrance,
          let id = view.appIDs[Reach(of: app, in: system, settings: settings).id]
        else { continue }
        let key = "\(entrance.service.namespace)/\(entrance.service.name)"
        let all = (services[key]?.addresses ?? []) + (endpoints[key] ?? []).flatMap(\.addresses)
        let addresses = Array(all.filter { taken.insert($0).inserted }.prefix(Self.maximumRules))
        guard !addresses.isEmpty else { continue }
        let name = "app-" + WorkloadLabel.digest(of: id.rawValue).prefix(16)
        found[name] = ["addresses": .texts(addresses), "app_id": .string(id.rawValue)]
      }
    }
    return found
  }
}

extension NodePod {
  /// Whether it is the authorization service of a system. Who may make pods there is trusted with all its workloads.
  fileprivate var isAuthorize: Bool { AuthorizeObjects.component.allSatisfy { labels[$0.key] == $0.value } }
}

extension Reach {
  /// By which `NodeView.appIDs` knows the app.
  fileprivate var id: String { "\(system.object.metadata.reference)/\(app.app.name)" }
}
