import CASACore
import Testing

@testable import CustomResources

@Suite("Custom resources")
struct ResourceTests {
  static let banking = """
    apiVersion: casa.io/v1alpha1
    kind: MultiAgentSystem
    metadata: {name: banking, namespace: bank}
    spec:
      name: Banking MAS
      enabledToolChecks: [DETERMINISTIC_TOOL_SELECTED]
      llm_host: api.openai.com
      apps:
        - {name: web, type: client, kubernetesWorkloadName: web}
        - name: agent
          type: agent
          baseUrl: {scheme: http, host: "agent:8100"}
          kubernetesWorkloadName: agent
          httpRequestSchema: {promptFieldJsonPath: $.prompt}
        - {name: ledger, type: mcp_server, baseUrl: {scheme: http, host: "ledger.bank.svc:8101"}, kubernetesWorkloadName: ledger}
    """

  static func policy(
    _ name: String, of target: String, in namespace: String = "bank", created: String = "", endpoints: String = "",
    llm: String = "", protocols: String = "mcp, a2a, http"
  ) -> String {
    """
    apiVersion: casa.io/v1alpha1
    kind: CASAPolicy
    metadata: {name: \(name), namespace: \(namespace), creationTimestamp: "\(created)"}
    spec:
      targetRef: {kind: Deployment, name: \(target)}
      allowedProtocols: [\(protocols)]
      allowedEndpoints: [\(endpoints)]
      \(llm.isEmpty ? "" : "llmEndpoint: {fqdn: \(llm), port: 443}")
    """
  }

  static func resolve(_ texts: String...) throws -> Resolution {
    let resources = try Resource.read(yaml: texts.joined(separator: "\n---\n"))
    return Resolution(
      systems: resources.compactMap { if case .system(let system) = $0 { system } else { nil } },
      policies: resources.compactMap { if case .policy(let policy) = $0 { policy } else { nil } })
  }

  @Test("are read with only the fields that every manifest has")
  func original() throws {
    guard case .system(let system) = try Resource.read(yaml: Self.banking).first else {
      Issue.record("no system")
      return
    }
    #expect(system.name.text == "banking-mas")
    #expect(system.llm?.url == "https://api.openai.com/v1")
    #expect(system.apps.map(\.kind) == [.client, .agent, .mcpServer])
    #expect(system.apps[1].entrance?.url == "http://agent.bank.svc.cluster.local:8100/")
    #expect(system.apps[2].entrance?.url == "http://ledger.bank.svc.cluster.local:8101/mcp")
    #expect(system.apps[2].entrance?.containerPort == 8101)
  }

  @Test(
    "are refused with the path of what is wrong",
    arguments: [
      ("name: Banking MAS", "name: '  '", "spec.name"), ("type: agent", "type: robot", "spec.apps[1].type"),
      ("agent:8100", "agent.other:8100", "spec.apps[1].baseUrl.host"),
      ("agent:8100", "agent.other.svc.cluster.local", "spec.apps[1].baseUrl.host"),
      ("agent:8100", "169.254.169.254", "spec.apps[1].baseUrl.host"),
      ("agent:8100", "agent:0", "spec.apps[1].baseUrl.host"),
      ("agent:8100", "agent:+80", "spec.apps[1].baseUrl.host"), ("agent:8100", "[::1]:80", "spec.apps[1].baseUrl.host"),
      ("agent:8100", "api.example.com", "spec.apps[1].baseUrl.host"),
      ("scheme: http, host: \"agent", "scheme: https, host: \"agent", "spec.apps[1].baseUrl.scheme"),
      ("$.prompt", "prompt", "spec.apps[1].httpRequestSchema.promptFieldJsonPath"),
      ("DETERMINISTIC_TOOL_SELECTED", "DETERMINISTIC", "spec.enabledToolChecks[0]"),
      ("llm_host:", "llmHost:", "spec"), ("api.openai.com", "api.openai.com:http", "spec.llm_host"),
      ("name: agent\n", "name: web\n", "spec.apps[1].name"), ("name: agent\n", "name: llm\n", "spec.apps[1].name"),
      ("kubernetesWorkloadName: ledger", "kubernetesWorkloadName: web", "spec.apps[name=web].kubernetesWorkloadName"),
      ("kind: MultiAgentSystem", "kind: MultiAgentSystem\nkind: CASAPolicy", "file"),
      ("casa.io/v1alpha1", "casa.io/v2", "apiVersion"), ("namespace: bank", "namespace: Bank", "metadata.namespace"),
    ])
  func refused(_ old: String, _ new: String, path: String) {
    let text = Self.banking.replacing(old, with: new)
    #expect(text != Self.banking)
    do throws(ResourceError) {
      _ = try Resource.read(yaml: text)
      Issue.record("it was read")
    } catch {
      #expect(error.path == path, "\(error)")
    }
  }

  @Test("let an app reach only whom both its system and its policy name")
  func reach() throws {
    let endpoint = "{name: ledger, namespace: bank, port: 8101}, {name: mail, namespace: other, port: 25}"
    let resolution = try Self.resolve(
      Self.banking, Self.policy("agent", of: "agent", endpoints: endpoint, llm: "api.openai.com"),
      Self.policy("web", of: "web"), Self.policy("ledger", of: "ledger", protocols: "mcp"))
    let apps = try #require(resolution.systems.first).apps
    #expect(apps.map { $0.calls.map(\.app.text) } == [[], ["ledger"], []])
    #expect(apps.map { $0.llm?.host } == [nil, "api.openai.com", nil])
    #expect(apps[1].otherEndpoints.map(\.description) == ["mail.other:25"])
    #expect(apps.map(\.isCallable) == [false, true, true])
    #expect(resolution.policyProblems.isEmpty && resolution.systems[0].problems.isEmpty)
  }

  @Test(
    "let an agent be called by the one protocol that it speaks",
    arguments: [
      // The agent's `promptFieldJsonPath` and the client's, what each policy allows, and whether the call passes.
      ("$.prompt", "", "http", "http", true, "$.prompt"), ("$.prompt", "", "a2a", "http, a2a", false, "$.prompt"),
      ("$.prompt", "", "http, a2a", "a2a", false, "$.prompt"), ("", "", "a2a", "a2a", true, nil),
      ("", "", "http", "http, a2a", false, nil), ("", "", "http, a2a", "http", false, nil),
      // What a client says of its requests holds where the agent lets plain requests in.
      ("", "$.question", "http, a2a", "http", true, "$.question"), ("", "$.question", "a2a", "http, a2a", true, nil),
      ("", "$.question", "a2a", "http", false, nil), ("$.prompt", "$.question", "http", "http", true, "$.prompt"),
    ] as [(String, String, String, String, Bool, String?)])
  func protocols(
    agent: String, client: String, agentAllows: String, clientAllows: String, passes: Bool, path: String?
  ) throws {
    func schema(_ path: String) -> String { path.isEmpty ? "" : ", httpRequestSchema: {promptFieldJsonPath: \(path)}" }
    let system = """
      apiVersion: casa.io/v1alpha1
      kind: MultiAgentSystem
      metadata: {name: banking, namespace: bank}
      spec:
        name: banking
        apps:
          - {name: web, type: client, kubernetesWorkloadName: web\(schema(client))}
          - {name: agent, type: agent, baseUrl: {host: "agent:8100"}, kubernetesWorkloadName: agent\(schema(agent))}
      """
    let resolution = try Self.resolve(
      system, Self.policy("agent", of: "agent", protocols: agentAllows),
      Self.policy("web", of: "web", endpoints: "{name: agent, port: 8100}", protocols: clientAllows))
    let apps = try #require(resolution.systems.first).apps
    #expect(!apps[0].calls.isEmpty == passes)
    #expect(apps[1].promptJSONPath == path)
    #expect(apps[0].callsPromptJSONPath == (passes ? path : nil))
  }

  @Test("let nobody call two agents that take the user's input in different places")
  func promptPlaces() throws {
    let system =
      Self.banking + """

            - name: helper
              type: agent
              baseUrl: {host: "helper:8102"}
              kubernetesWorkloadName: helper
        """
    let resolution = try Self.resolve(
      system, Self.policy("web", of: "web", endpoints: "{name: agent, port: 8100}, {name: helper, port: 8102}"))
    let resolved = try #require(resolution.systems.first)
    #expect(resolved.apps[0].calls.map(\.app.text) == ["agent"])
    #expect(resolved.problems.contains { $0.reason == .protocolNotAllowed && $0.message.contains("helper") })
  }

  @Test("without a policy let an app reach nothing, and say so")
  func noPolicy() throws {
    let system = try #require(try Self.resolve(Self.banking).systems.first)
    #expect(system.apps.allSatisfy { $0.calls.isEmpty && $0.llm == nil })
    #expect(system.problems.map(\.reason) == [.noPolicy, .noPolicy, .noPolicy])
  }

  @Test("permit no other LLM than the system's")
  func otherLLM() throws {
    let resolution = try Self.resolve(Self.banking, Self.policy("agent", of: "agent", llm: "evil.example.com"))
    #expect(resolution.systems[0].apps[1].llm == nil)
    #expect(resolution.policyProblems["bank/agent"]?.reason == .llmMismatch)
  }

  @Test("of one name or one workload belong to who was there first, in whatever order they are read")
  func taken() throws {
    let second = Self.banking.replacing("namespace: bank", with: "namespace: rival")
      .replacing("ledger.bank.svc", with: "ledger")
    let older = Self.banking.replacing(
      "{name: banking,", with: "{name: banking, creationTimestamp: '2026-01-01T00:00:00Z',")
    let newer = second.replacing("{name: banking,", with: "{name: banking, creationTimestamp: '2026-01-02T00:00:00Z',")
    for resolution in [try Self.resolve(older, newer), try Self.resolve(newer, older)] {
      #expect(resolution.systems.map(\.object.metadata.reference) == ["bank/banking"])
      #expect(resolution.refusedSystems["rival/banking"]?.reason == .nameTaken)
      #expect(resolution.refusedSystems["rival/banking"]?.message.contains("bank/") == false)
    }
    let twin = newer.replacing("namespace: rival", with: "namespace: bank").replacing(
      "name: Banking MAS", with: "name: x"
    )
    .replacing("{name: banking,", with: "{name: twin,")
    #expect(try Self.resolve(twin, older).refusedSystems["bank/twin"]?.reason == .workloadTaken)
  }

  @Test("say all of a workload in one policy: the older one's")
  func twoPolicies() throws {
    let wide = Self.policy(
      "wide", of: "agent", created: "2026-01-02T00:00:00Z", endpoints: "{name: ledger, port: 8101}")
    let narrow = Self.policy("narrow", of: "agent", created: "2026-01-01T00:00:00Z")
    let resolution = try Self.resolve(Self.banking, wide, narrow)
    #expect(resolution.systems[0].apps[1].calls.isEmpty)
    #expect(resolution.policyProblems["bank/wide"]?.reason == .targetTaken)
  }

  @Test("have no say over another namespace's workloads")
  func foreign() throws {
    let foreign = Self.policy(
      "agent", of: "agent", in: "rival", endpoints: "{name: ledger, namespace: bank, port: 8101}")
    let resolution = try Self.resolve(Self.banking, foreign)
    #expect(resolution.policyProblems["rival/agent"]?.reason == .targetUnknown)
    #expect(resolution.systems[0].apps[1].policy == nil)
  }
}
