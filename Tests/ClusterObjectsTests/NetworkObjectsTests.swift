import CASACore
import ClusterObjects
import CustomResources
import Testing

@Suite("The network's policies")
struct NetworkObjectsTests {
  private func spec(
    _ kind: String, _ name: String, _ mode: ClusterSettings.Mode = .cilium,
    _ texts: [String] = [Banking.system] + Banking.policies
  ) throws -> JSONValue {
    let objects = try Banking.objects(mode, texts)
    return try #require(objects.first { $0.kind == kind && $0.name == name }?.json["spec"])
  }

  /// The labels of a rule's first peer.
  private func peer(_ rule: JSONValue?, _ member: String) -> JSONValue? {
    rule?[member]?[0]?["podSelector"]?["matchLabels"]
  }

  @Test("stand for each workload, and for pods that only say that they are one")
  func all() throws {
    let objects = try Banking.objects(.cilium)
    #expect(
      objects.map { "\($0.kind) \($0.namespace)/\($0.name)" } == [
        "NetworkPolicy bank/casa-default-deny-banking", "NetworkPolicy bank/casa-workload-web",
        "CiliumNetworkPolicy bank/casa-workload-web", "NetworkPolicy bank/casa-workload-agent",
        "CiliumNetworkPolicy bank/casa-workload-agent", "NetworkPolicy bank/casa-workload-ledger",
        "CiliumNetworkPolicy bank/casa-workload-ledger",
      ])
    for object in objects {
      #expect(object.json["metadata"]?["ownerReferences"]?[0]?["uid"] == "11111111-2222-3333-4444-555555555555")
    }
    let deny = try spec("NetworkPolicy", "casa-default-deny-banking")
    #expect(deny["podSelector"] == ["matchExpressions": [["key": "casa.io/workload", "operator": "Exists"]]])
    #expect(deny["ingress"] == [] && deny["egress"] == [])
    #expect(deny["policyTypes"] == ["Ingress", "Egress"])
  }

  @Test("let in callers at the app's port, the runtime where it lists tools, and kubelets")
  func ingress() throws {
    let agent = try spec("NetworkPolicy", "casa-workload-agent")
    #expect(agent["podSelector"] == ["matchLabels": ["casa.io/workload": "agent"]])
    #expect(peer(agent["ingress"]?[0], "from") == ["casa.io/workload": "web"])
    #expect(agent["ingress"]?[0]?["ports"] == [["protocol": "TCP", "port": 8100]])
    #expect(agent["ingress"]?[1] == ["ports": [["protocol": "TCP", "port": 15021]]])
    #expect(agent["ingress"]?.array?.count == 2)

    let ledger = try spec("NetworkPolicy", "casa-workload-ledger")
    let peers = try #require(ledger["ingress"]?[0]?["from"]?.array)
    #expect(peers.count == 2)
    #expect(peers[0]["podSelector"]?["matchLabels"] == ["casa.io/workload": "agent"])
    #expect(peers[1]["namespaceSelector"]?["matchLabels"] == ["kubernetes.io/metadata.name": "casa-system"])

    let web = try spec("NetworkPolicy", "casa-workload-web")
    #expect(web["ingress"] == [["ports": [["protocol": "TCP", "port": 15021]]]])
  }

  @Test("let out to the DNS server by UDP, the runtime, callees at their pods' port and what else is named")
  func egress() throws {
    let rules = try #require(try spec("NetworkPolicy", "casa-workload-agent")["egress"]?.array)
    #expect(rules.count == 5)
    #expect(peer(rules[0], "to") == ["k8s-app": "kube-dns"])
    #expect(rules[0]["ports"] == [["protocol": "UDP", "port": 53]])
    #expect(rules[1]["ports"] == [["protocol": "TCP", "port": 8700]])
    #expect(peer(rules[2], "to") == ["casa.io/workload": "ledger"])
    #expect(rules[2]["ports"] == [["protocol": "TCP", "port": 8101]])
    #expect(rules[3]["to"]?[0]?["namespaceSelector"]?["matchLabels"] == ["kubernetes.io/metadata.name": "post"])
    #expect(rules[3]["ports"] == [["protocol": "TCP", "port": 25]])
    let web = try #require(try spec("NetworkPolicy", "casa-workload-web")["egress"]?.array)
    // The Service's port is 80; the pods' is another.
    #expect(web.last?["ports"] == [["protocol": "TCP", "port": 8100]])
  }

  @Test("let out to the LLM at its port only, and to no private network")
  func internet() throws {
    let rule = try #require(try spec("NetworkPolicy", "casa-workload-agent")["egress"]?.array?.last)
    #expect(rule["ports"] == [["protocol": "TCP", "port": 443]])
    let except = rule["to"]?[0]?["ipBlock"]?["except"]?.array ?? []
    for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"] {
      #expect(except.contains(.string(range)))
    }
  }

  @Test("without a CASAPolicy let nothing out but to the DNS server and the runtime")
  func noPolicy() throws {
    let own = try spec("NetworkPolicy", "casa-workload-agent", .cilium, [Banking.system])
    #expect(own["egress"]?.array?.count == 2)
    let cilium = try spec("CiliumNetworkPolicy", "casa-workload-agent", .cilium, [Banking.system])
    #expect(cilium["egress"]?.array?.count == 2)
    // Nobody has a policy that lets them call it.
    #expect(cilium["ingress"]?.array?.count == 1)
  }

  @Test("of Cilium admit the LLM by its name and by the name in its handshake")
  func names() throws {
    let rule = try #require(try spec("CiliumNetworkPolicy", "casa-workload-agent")["egress"]?.array?.last)
    #expect(rule["toFQDNs"] == [["matchName": "api.openai.com"]])
    #expect(
      rule["toPorts"] == [["ports": [["port": "443", "protocol": "TCP"]], "serverNames": ["api.openai.com"]]])
  }

  @Test("of Cilium let be asked for exactly the names that are needed, and what a search list makes of them")
  func lookups() throws {
    let rule = try #require(try spec("CiliumNetworkPolicy", "casa-workload-agent")["egress"]?[0])
    #expect(
      rule["toEndpoints"]?[0]?["matchLabels"] == [
        "k8s-app": "kube-dns", "k8s:io.kubernetes.pod.namespace": "kube-system",
      ])
    let port = try #require(rule["toPorts"]?[0])
    #expect(port["ports"] == [["port": "53", "protocol": "UDP"]])
    let rules = port["rules"]?["dns"]?.array ?? []
    let names = rules.compactMap { $0["matchName"]?.string }
    for name in [
      "api.openai.com", "api.openai.com.bank.svc.cluster.local", "api.openai.com.cluster.local",
      "ledger.bank.svc.cluster.local", "ledger.bank.svc.cluster.local.svc.cluster.local", "ledger.bank.svc",
      "mail.post.svc.cluster.local", "casa-runtime.casa-system.svc.cluster.local",
    ] {
      #expect(names.contains(name), "\(name)")
    }
    for name in ["ledger", "openai.com", "agent.bank.svc.cluster.local", "kubernetes.default.svc.cluster.local"] {
      #expect(!names.contains(name), "\(name)")
    }
    #expect(names.count == rules.count)
  }

  @Test("of Cilium let be asked for all below a domain that the policy names")
  func domains() throws {
    let rules = try spec("CiliumNetworkPolicy", "casa-workload-ledger")["egress"]?[0]?["toPorts"]?[0]?["rules"]
    let dns = try #require(rules?["dns"]?.array)
    #expect(dns.contains(["matchPattern": "**.rates.example"]) && dns.contains(["matchName": "rates.example"]))
  }

  @Test("of Cilium let in the machine itself at the probes' port only")
  func kubelet() throws {
    let ingress = try #require(try spec("CiliumNetworkPolicy", "casa-workload-agent")["ingress"]?.array)
    #expect(
      ingress.last == ["fromEntities": ["host"], "toPorts": [["ports": [["port": "15021", "protocol": "TCP"]]]]])
    #expect(ingress[0]["fromEndpoints"] == [["matchLabels": ["casa.io/workload": "web"]]])
    #expect(ingress[0]["toPorts"] == [["ports": [["port": "8100", "protocol": "TCP"]]]])
  }

  @Test("in Istio mode let workloads out to the namespace's authorization service, and it alone to the runtime")
  func istio() throws {
    let objects = try Banking.objects(.istio)
    #expect(!objects.contains { $0.kind == "CiliumNetworkPolicy" })
    let agent = try spec("NetworkPolicy", "casa-workload-agent", .istio)
    #expect(peer(agent["egress"]?[1], "to")?["app.kubernetes.io/component"] == "authorize")
    #expect(agent["egress"]?[1]?["ports"] == [["protocol": "TCP", "port": 9191]])
    let ports = agent["egress"]?.array?.flatMap { $0["ports"]?.array ?? [] } ?? []
    #expect(!ports.contains(["protocol": "TCP", "port": 8700]))
    let service = try spec("NetworkPolicy", "casa-authorize-banking", .istio)
    #expect(service["egress"]?.array?.last?["ports"] == [["protocol": "TCP", "port": 8700]])
  }

  @Test("treat an LLM within the cluster as the Service that it is")
  func clusterLLM() throws {
    let texts = [
      Banking.system.replacing("llm_host: api.openai.com", with: "llm_host: llm.models.svc.cluster.local:8000"),
      Banking.policies[1].replacing("{fqdn: api.openai.com}", with: "{fqdn: llm.models.svc.cluster.local, port: 8000}"),
    ]
    let own = try spec("NetworkPolicy", "casa-workload-agent", .cilium, texts)
    #expect(own["egress"]?.array?.contains { $0["to"]?[0]?["ipBlock"] != nil } == false)
    #expect(own["egress"]?.array?.last?["ports"] == [["protocol": "TCP", "port": 8000]])
    let cilium = try spec("CiliumNetworkPolicy", "casa-workload-agent", .cilium, texts)
    #expect(cilium["egress"]?.array?.contains { $0["toFQDNs"] != nil } == false)
  }
}

@Suite("A workload's label")
struct WorkloadLabelTests {
  @Test("is the workload's name, or as much of it as a label holds and a digest")
  func values() {
    #expect(WorkloadLabel.value(of: "agent") == "agent")
    let long = String(repeating: "a", count: 45) + "." + String(repeating: "b", count: 60)
    let value = WorkloadLabel.value(of: long)
    #expect(value.utf8.count <= 63)
    #expect(value.hasPrefix(String(repeating: "a", count: 45) + "-"))
    #expect(value != WorkloadLabel.value(of: long + "c"))
  }
}
