import AgentProtocols
import CASACore
import ClusterObjects
import CustomResources
import Sidecar
import Testing

@Suite("An app's workload file")
struct WorkloadFileTests {
  private func read(
    _ name: String, _ mode: ClusterSettings.Mode = .cilium, _ texts: [String] = [Banking.system] + Banking.policies
  ) throws -> Workload {
    let (app, system) = try Banking.app(name, in: try Banking.resolve(texts))
    let file = try WorkloadFile(
      of: app, in: system, clientID: AppID("app_" + name), settings: ClusterSettings(mode: mode))
    return try Workload(yaml: file.text, relativeTo: "/elsewhere")
  }

  @Test("says who the app is, and where all its files are, wherever it lies itself")
  func identity() throws {
    let workload = try read("agent")
    #expect(workload.clientID == AppID("app_agent"))
    #expect(workload.runtime == HTTPEndpoint("http://casa-runtime.casa-system.svc.cluster.local:8700"))
    #expect(workload.clientSecretFile == "/etc/casa/client-secret")
    #expect(workload.sidecarKeyFile == "/etc/casa/sidecar-key")
    #expect(workload.authorization == .unix(path: "/run/casa/authorization.sock"))
    #expect(workload.adapter == .module)
    #expect(workload.interception?.inbound.map(\.description) == ["0.0.0.0:15006", "[::]:15006"])
    #expect(workload.interception?.outbound.map(\.description) == ["127.0.0.1:15001", "[::1]:15001"])
  }

  @Test("leads to the app's own port, and out by the Services' full names")
  func ways() throws {
    let workload = try read("agent")
    #expect(workload.ingress?.app == HTTPEndpoint("http://127.0.0.1:8100/"))
    #expect(
      workload.egress.map(\.url.description) == [
        "http://ledger.bank.svc.cluster.local:8101/mcp", "https://api.openai.com/v1",
      ])
    #expect(
      workload.egress.map(\.destination) == [
        .app(try #require(Name("ledger"))), .llm(apiKeyFile: "/etc/casa/llm-api-key"),
      ])
  }

  @Test("knows a destination by every name that an app of the namespace may write")
  func aliases() throws {
    let listeners = try read("agent").listenersByAuthority
    for host in ["ledger:8101", "ledger.bank:8101", "ledger.bank.svc:8101", "ledger.bank.svc.cluster.local:8101"] {
      #expect(listeners[host] == .egress(0))
    }
    for host in ["api.openai.com", "api.openai.com:80", "api.openai.com:443"] {
      #expect(listeners[host] == .egress(1))
    }
    for host in ["ledger", "ledger:80", "ledger.post:8101", "agent", "10.0.0.1:8101", ""] {
      #expect(listeners[host] == nil)
    }
    #expect(try read("web").listenersByAuthority["agent"] == .egress(0))
  }

  @Test("tells of a client where its requests carry the user's input, and lets nobody call it")
  func client() throws {
    let workload = try read("web")
    #expect(workload.ingress == nil)
    #expect(workload.promptJSONPath?.text == "$.prompt")
    #expect(workload.egress.map(\.url.description) == ["http://agent.bank.svc.cluster.local/"])
  }

  @Test("of an app without a policy has no way out, and of one that may not be called no way in")
  func closed() throws {
    let agent = try read("agent", .cilium, [Banking.system])
    #expect(agent.egress.isEmpty && agent.ingress != nil)
    let policy = Banking.policies[2].replacing("[mcp, a2a, http]", with: "[http]")
    let ledger = try read("ledger", .cilium, [Banking.system, policy])
    #expect(ledger.ingress == nil && ledger.egress.isEmpty)
  }

  @Test("in Istio mode has its files beside those of the namespace's other workloads, and asks over gRPC")
  func istio() throws {
    let workload = try read("agent", .istio)
    #expect(workload.clientSecretFile == "/etc/casa/agent/client-secret")
    #expect(workload.authorization == .tcp(host: "0.0.0.0", port: 9191))
    #expect(workload.adapter == .grpc)
    #expect(workload.egress.last?.destination == .llm(apiKeyFile: "/etc/casa/agent/llm-api-key"))
  }

  @Test("leads to an LLM within the cluster by every name of its Service")
  func clusterLLM() throws {
    let texts = [
      Banking.system.replacing("llm_host: api.openai.com", with: "llm_host: llm.models.svc:8000")
        .replacing("llm: {", with: "llm: {scheme: http, "),
      Banking.policies[1].replacing("{fqdn: api.openai.com}", with: "{fqdn: llm.models.svc, port: 8000}"),
    ]
    let workload = try read("agent", .cilium, texts)
    let llm = try #require(workload.egress.firstIndex { $0.url.description == "http://llm.models.svc:8000/v1" })
    for host in ["llm.models:8000", "llm.models.svc:8000", "llm.models.svc.cluster.local:8000"] {
      #expect(workload.listenersByAuthority[host] == .egress(llm))
    }
  }

  @Test("is not written when two destinations have one name: neither could be told from the other")
  func sharedName() throws {
    let twin = "    - {name: shadow, type: mcp_server, baseUrl: {host: \"ledger:8101\", path: /shadow}}"
    #expect(throws: ConfigurationError.self) {
      try read("agent", .cilium, [Banking.system + "\n" + twin] + Banking.policies)
    }
  }
}
