import AgentProtocols
import CASACore
import ClusterObjects
import CustomResources
import NodeGuard
import Testing

@Suite("A node guard's files")
struct NodeFilesTests {
  private static func pod(
    _ name: String, uid: String, workload: String?, in namespace: String = "bank", containers: [String: String?],
    more: [String: JSONValue] = [:], annotations: [String: JSONValue] = [:]
  ) throws -> NodePod {
    let names = containers.keys.sorted().map { ["name": .string($0)] as JSONValue }
    let statuses = containers.compactMap { name, id in
      id.map { ["name": .string(name), "containerID": .string("containerd://" + $0)] as JSONValue }
    }
    let labels: JSONValue = workload.map { ["casa.io/workload": .string($0)] } ?? [:]
    return try #require(
      NodePod(json: [
        "metadata": [
          "namespace": .string(namespace), "name": .string(name), "uid": .string(uid), "labels": labels,
          "annotations": .object(annotations),
        ],
        "spec": .object(more.merging(["containers": .array(names)]) { $1 }),
        "status": ["phase": "Running", "podIPs": [["ip": "10.1.0.9"]], "containerStatuses": .array(statuses)],
      ]))
  }

  private static func service(
    _ name: String, in namespace: String = "bank", address: String, port: Int
  ) throws -> ClusterService {
    try #require(
      ClusterService(json: [
        "metadata": ["namespace": .string(namespace), "name": .string(name)],
        "spec": [
          "clusterIPs": [.string(address)],
          "ports": [["name": "main", "port": .number(Double(port)), "protocol": "TCP"]],
        ],
      ]))
  }

  private static func endpoints(
    _ name: String, in namespace: String = "bank", addresses: [String], port: Int
  ) throws -> ServiceEndpoints {
    try #require(
      ServiceEndpoints(json: [
        "metadata": ["namespace": .string(namespace), "labels": ["kubernetes.io/service-name": .string(name)]],
        "addressType": "IPv4", "endpoints": .array(addresses.map { ["addresses": [.string($0)]] }),
        "ports": [["name": "main", "port": .number(Double(port)), "protocol": "TCP"]],
      ]))
  }

  private static let agentUID = "aaaaaaaa-0000-0000-0000-000000000001"
  private static let id = String(repeating: "ab", count: 32)

  private static func view(_ pods: [NodePod]? = nil) throws -> NodeView {
    let agent = try pod(
      "agent-5d-x", uid: agentUID, workload: "agent",
      containers: [
        "app": "1" + id.dropFirst(), "casa-sidecar": "2" + id.dropFirst(), "casa-authorize": "3" + id.dropFirst(),
        "debug": nil,
      ])
    return NodeView(
      resolution: try Banking.resolve(), pods: pods ?? [agent], guardedNamespaces: ["bank"],
      services: [
        try service("kube-dns", in: "kube-system", address: "10.96.0.10", port: 53),
        try service("casa-runtime", in: "casa-system", address: "10.96.0.20", port: 8700),
        try service("ledger", address: "10.96.0.30", port: 8101),
      ],
      endpoints: [
        try endpoints("ledger", addresses: ["10.1.0.3", "10.1.0.4"], port: 8101),
        try endpoints("casa-runtime", in: "casa-system", addresses: ["10.1.9.1"], port: 8700),
      ], appIDs: ["bank/banking/agent": AppID("app_agent"), "bank/banking/ledger": AppID("app_ledger")])
  }

  private func files(
    _ view: NodeView, _ settings: ClusterSettings = ClusterSettings(mode: .cilium)
  ) throws -> (NodeFiles, NodePolicy) {
    let files = NodeFiles(of: view, settings: settings)
    return (files, try NodePolicy(parsing: Array(files.policy.utf8)))
  }

  private func verdict(
    _ workload: String, _ policy: NodePolicy, _ address: String, _ port: UInt16,
    _ transport: TransportProtocol = .tcp, _ direction: FlowDirection = .outbound
  ) throws -> PolicyVerdict {
    PolicyVerdict(
      of: try #require(policy.workload(named: workload)), in: policy, direction, transport,
      remote: try #require(NetworkAddress(address)), port: port)
  }

  @Test("let the sidecar alone reach what the app's policy names, by the Service's address and its pods'")
  func sidecar() throws {
    let (files, policy) = try files(try Self.view())
    #expect(files.problems.isEmpty, "\(files.problems)")
    let sidecar = "bank/agent-5d-x/casa-sidecar"
    for (address, port) in [("10.96.0.30", 8101), ("10.1.0.3", 8101), ("10.1.0.4", 8101), ("127.0.0.1", 8100)] {
      #expect(try verdict(sidecar, policy, address, UInt16(port)).isAllowed, "\(address)")
    }
    for (address, port) in [("10.96.0.30", 8102), ("10.1.0.5", 8101), ("10.96.0.20", 8700), ("192.0.2.1", 80)] {
      #expect(try !verdict(sidecar, policy, address, UInt16(port)).isAllowed, "\(address)")
    }
    let llm = try #require(policy.workload(named: sidecar)?.llm)
    #expect(llm.description == "api.openai.com:443" && llm.usesTLS)
    #expect(try verdict(sidecar, policy, "10.1.7.7", 15006, .tcp, .inbound).isAllowed)
  }

  @Test("lead an app to its proxy, and nowhere else")
  func app() throws {
    let (_, policy) = try files(try Self.view())
    let app = try #require(policy.workload(named: "bank/agent-5d-x/app"))
    #expect(app.proxy?.description == "127.0.0.1:15001")
    #expect(app.llm == nil)
    for (address, port) in [("10.96.0.30", 8101), ("10.1.0.3", 8101), ("192.0.2.1", 443), ("10.96.0.20", 8700)] {
      #expect(try !verdict("bank/agent-5d-x/app", policy, address, UInt16(port)).isAllowed, "\(address)")
    }
    #expect(try verdict("bank/agent-5d-x/app", policy, "10.96.0.10", 53, .udp).isAllowed)
    #expect(try !verdict("bank/agent-5d-x/app", policy, "10.1.7.7", 8100, .tcp, .inbound).isAllowed)
    for name in ["ledger.bank.svc.cluster.local", "api.openai.com", "mail.post"] {
      #expect(app.resolvable.contains(.exact(try HostName(parsing: name))), "\(name)")
    }
    #expect(app.resolvable.allSatisfy { $0.description != "evil.example" })
    #expect(app.appID == AppID("app_agent"))
  }

  @Test("let the authorization service beside it reach the runtime only")
  func authorize() throws {
    let (_, policy) = try files(try Self.view())
    let name = "bank/agent-5d-x/casa-authorize"
    #expect(try verdict(name, policy, "10.96.0.20", 8700).isAllowed)
    #expect(try verdict(name, policy, "10.1.9.1", 8700).isAllowed)
    #expect(try !verdict(name, policy, "10.96.0.30", 8101).isAllowed)
    #expect(policy.workload(named: name)?.llm == nil)
  }

  @Test("deny everything to whatever else is in such a pod, and to pods of such a namespace that are no app's")
  func unknown() throws {
    let other = try Self.pod(
      "cron-1", uid: "bbbbbbbb-0000-0000-0000-000000000002", workload: nil,
      containers: ["app": "4" + Self.id.dropFirst()])
    let foreign = try Self.pod(
      "web-1", uid: "cccccccc-0000-0000-0000-000000000003", workload: "agent", in: "shop",
      containers: ["app": "5" + Self.id.dropFirst()])
    let (files, policy) = try files(try Self.view(try Self.view().pods + [other, foreign]))
    #expect(
      policy.workloads.map(\.name) == [
        "bank/agent-5d-x/.pod", "bank/agent-5d-x/app", "bank/agent-5d-x/casa-authorize",
        "bank/agent-5d-x/casa-sidecar", "bank/cron-1/.pod",
      ])
    for name in ["bank/agent-5d-x/.pod", "bank/cron-1/.pod"] {
      let workload = try #require(policy.workload(named: name))
      #expect(workload.rules.isEmpty && workload.proxy == nil && workload.resolvable.isEmpty && !workload.bindsAnyPort)
    }
    #expect(policy.guarded.isEmpty)
    #expect(!files.policy.contains("shop"))
  }

  @Test("name pods by their uid and containers by their name, and so find the cgroups")
  func cgroups() throws {
    let (files, policy) = try files(try Self.view())
    let listed = try JSONValue(parsing: files.pods)["pods"]?[0]
    #expect(listed?["uid"] == .string(Self.agentUID))
    let pods = [
      PodMetadata(
        uid: Self.agentUID, namespace: "bank", name: "agent-5d-x",
        containers: ["1" + String(Self.id.dropFirst()): "app", "9" + String(Self.id.dropFirst()): "debug"])
    ]
    let root = "/kubepods.slice/kubepods-pod\(Self.agentUID.replacing("-", with: "_")).slice"
    let scope = { (digit: String) in "\(root)/cri-containerd-\(digit)\(Self.id.dropFirst()).scope" }
    let resolution = WorkloadResolver.resolve(
      policy,
      cgroups: [
        Cgroup(id: 1, path: root), Cgroup(id: 2, path: scope("1")), Cgroup(id: 3, path: scope("9")),
        Cgroup(id: 4, path: "/kubepods.slice"),
      ], pods: pods)
    #expect(
      resolution.workloads == [
        1: WorkloadID(name: "bank/agent-5d-x/.pod"), 2: WorkloadID(name: "bank/agent-5d-x/app"),
      ])
    #expect(resolution.contested.isEmpty)
  }

  @Test("leave out pods that are over, and give one that shares the node's network nothing")
  func special() throws {
    let shared = try Self.pod(
      "agent-host", uid: "dddddddd-0000-0000-0000-000000000004", workload: "agent",
      containers: ["app": "6" + Self.id.dropFirst()], more: ["hostNetwork": true])
    let (files, policy) = try files(try Self.view([shared]))
    #expect(policy.workloads.map(\.name) == ["bank/agent-host/.pod"])
    #expect(files.problems.contains { $0.contains("shares the node's network") })
  }

  @Test("deny nothing to the cluster's and CASA's own pods, whoever labels their namespaces")
  func exemptNamespaces() throws {
    var settings = ClusterSettings(mode: .cilium, systemNamespace: "casa")
    settings.nodeNamespace = "casa-node"
    let exempt = ["kube-system", "kube-public", "kube-node-lease", "casa", "casa-node"]
    var view = try Self.view()
    for (number, namespace) in (exempt + ["casa-system"]).enumerated() {
      view.guardedNamespaces.insert(namespace)
      view.pods.append(
        try Self.pod(
          "p", uid: "dddddddd-0000-0000-0000-00000000001\(number)", workload: nil, in: namespace, containers: [:]))
    }
    let (_, policy) = try files(view, settings)
    for namespace in exempt {
      #expect(!policy.workloads.contains { $0.name.hasPrefix(namespace + "/") }, "\(namespace)")
    }
    // Here a namespace as any other.
    #expect(policy.workloads.contains { $0.name == "casa-system/p/.pod" })
    #expect(policy.workloads.contains { $0.name == "bank/agent-5d-x/.pod" })
  }

  @Test("believe no pod that says it is the likeness of one that the API server knows, or of what can be none")
  func forgedMirrors() throws {
    let victim = try Self.pod(
      "web-1", uid: "cccccccc-0000-0000-0000-000000000003", workload: nil, in: "shop",
      containers: ["app": "5" + Self.id.dropFirst()])
    #expect(!victim.isMirror)
    func written(_ uid: String) throws -> (NodeFiles, NodePolicy) {
      let mirror = try Self.pod(
        "a-mirror", uid: "eeeeeeee-0000-0000-0000-000000000005", workload: nil, containers: ["app": nil],
        annotations: ["kubernetes.io/config.mirror": .string(uid)])
      #expect(mirror.isMirror && mirror.uid == uid)
      return try files(try Self.view(try Self.view().pods + [mirror, victim]))
    }
    for forged in [victim.uid, "", "X", "../x", String(repeating: "a", count: 300)] {
      let (files, policy) = try written(forged)
      #expect(!policy.workloads.contains { $0.name.contains("a-mirror") }, "\(forged)")
      let listed = try JSONValue(parsing: files.pods)["pods"]?.array ?? []
      #expect(listed.compactMap { $0["name"]?.string } == ["agent-5d-x", "web-1"], "\(forged)")
    }
    // One of a file on the node, by the digest that its kubelet made of it.
    let (_, policy) = try written(String(repeating: "0f", count: 16))
    #expect(policy.workloads.contains { $0.name == "bank/a-mirror/.pod" })
  }

  @Test("without a DNS server that is known permit no names, and can still be read")
  func noResolver() throws {
    var view = try Self.view()
    view.services.removeAll { $0.name == "kube-dns" }
    let (files, policy) = try files(view)
    #expect(policy.resolvers.isEmpty && policy.workloads.allSatisfy { $0.llm == nil && $0.resolvable.isEmpty })
    #expect(files.problems.contains { $0.contains("no DNS server is known") })
  }

  @Test("hold as many addresses as a workload's rules have room for, and say what was left out")
  func manyAddresses() throws {
    var view = try Self.view()
    view.endpoints = [
      try Self.endpoints("ledger", addresses: (0..<300).map { "10.2.\($0 / 250).\($0 % 250)" }, port: 8101)
    ]
    let (files, policy) = try files(view)
    #expect(try verdict("bank/agent-5d-x/casa-sidecar", policy, "10.96.0.30", 8101).isAllowed)
    #expect(files.problems.contains { $0.contains("of 301 addresses") })
  }

  @Test("have no address that a node guard does not read, and one spelling of each, whoever wrote a Service's")
  func oddAddresses() throws {
    let odd = [
      "10.1.0.3", "::ffff:10.1.0.3", "::FFFF:a01:3", "010.1.0.4", "any", "10.0.0.0/8", "fe80::1%eth0", "None", "", "x",
      "2001:DB8:0::1", "2001:db8::1",
    ]
    let slice = try Self.endpoints("ledger", addresses: odd, port: 8101)
    #expect(slice.addresses == ["10.1.0.3", "2001:db8::1"])
    #expect(try Self.service("x", address: "::ffff:10.96.0.30", port: 1).addresses == ["10.96.0.30"])
    for none in ["None", "", "10.96.0.030"] {
      #expect(try Self.service("x", address: none, port: 1).addresses.isEmpty, "\(none)")
    }
    var view = try Self.view()
    // Another app's, in another spelling: to the node guard one address of two apps would be none's.
    view.endpoints = [slice, try Self.endpoints("agent", addresses: ["::ffff:10.1.0.3"], port: 8100)]
    view.services[0] = try Self.service("kube-dns", in: "kube-system", address: "::ffff:10.96.0.10", port: 53)
    let (written, policy) = try files(view)
    try written.check()
    #expect(try verdict("bank/agent-5d-x/casa-sidecar", policy, "10.1.0.3", 8101).isAllowed)
    #expect(policy.app(at: try #require(NetworkAddress("10.1.0.3"))) == AppID("app_agent"))
    #expect(policy.resolvers.map(\.description) == ["10.96.0.10"])
  }

  @Test("say which app is reached at an address, each address for one app only")
  func endpoints() throws {
    var view = try Self.view()
    view.endpoints.append(try Self.endpoints("agent", addresses: ["10.1.0.3"], port: 8100))
    let (_, policy) = try files(view)
    #expect(policy.app(at: try #require(NetworkAddress("10.96.0.30"))) == AppID("app_ledger"))
    #expect(policy.app(at: try #require(NetworkAddress("10.1.0.4"))) == AppID("app_ledger"))
    #expect(policy.app(at: try #require(NetworkAddress("10.1.0.3"))) == AppID("app_agent"))
  }

  @Test("in Istio mode let Istio's proxy reach istiod and the system's authorization service too")
  func istio() throws {
    var view = try Self.view([
      try Self.pod(
        "agent-5d-x", uid: Self.agentUID, workload: "agent",
        containers: ["app": "1" + Self.id.dropFirst(), "istio-proxy": "2" + Self.id.dropFirst()])
    ])
    view.services += [
      try Self.service("istiod", in: "istio-system", address: "10.96.0.40", port: 15012),
      try Self.service("casa-authorize-banking", address: "10.96.0.50", port: 9191),
    ]
    let (_, policy) = try files(view, ClusterSettings(mode: .istio))
    let proxy = "bank/agent-5d-x/istio-proxy"
    for (address, port) in [("10.96.0.40", 15012), ("10.96.0.50", 9191), ("10.96.0.30", 8101)] {
      #expect(try verdict(proxy, policy, address, UInt16(port)).isAllowed, "\(address)")
    }
    #expect(try !verdict(proxy, policy, "10.96.0.20", 8700).isAllowed)
  }
}
