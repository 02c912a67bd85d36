import CASACore
import ClusterObjects
import CustomResources
import Testing

/// A system with an app of each kind, and what its policies permit.
enum Banking {
  static let system = """
    apiVersion: casa.io/v1alpha1
    kind: MultiAgentSystem
    metadata: {name: banking, namespace: bank, uid: 11111111-2222-3333-4444-555555555555}
    spec:
      name: Banking
      llm_host: api.openai.com
      llm: {apiKeySecret: {name: openai, key: key}}
      apps:
        - {name: web, type: client, kubernetesWorkloadName: web, httpRequestSchema: {promptFieldJsonPath: $.prompt}}
        - {name: agent, type: agent, baseUrl: {host: "agent:80"}, containerPort: 8100, kubernetesWorkloadName: agent}
        - {name: ledger, type: mcp_server, baseUrl: {host: "ledger:8101"}, kubernetesWorkloadName: ledger}
    """

  static func policy(_ target: String, endpoints: String = "", more: String = "") -> String {
    """
    apiVersion: casa.io/v1alpha1
    kind: CASAPolicy
    metadata: {name: \(target), namespace: bank}
    spec:
      targetRef: {kind: Deployment, name: \(target)}
      allowedProtocols: [mcp, a2a, http]
      allowedEndpoints: [\(endpoints)]
      \(more)
    """
  }

  static let policies = [
    policy("web", endpoints: "{name: agent, port: 80}"),
    policy(
      "agent", endpoints: "{name: ledger, port: 8101}, {name: mail, namespace: post, port: 25}",
      more: "llmEndpoint: {fqdn: api.openai.com}"),
    policy("ledger", more: "dns: {allowedNames: [\"*.rates.example\"]}"),
  ]

  static func resolve(_ texts: [String] = [system] + policies) throws -> Resolution {
    let resources = try Resource.read(yaml: texts.joined(separator: "\n---\n"))
    return Resolution(
      systems: resources.compactMap { if case .system(let system) = $0 { system } else { nil } },
      policies: resources.compactMap { if case .policy(let policy) = $0 { policy } else { nil } })
  }

  static func objects(
    _ mode: ClusterSettings.Mode, _ texts: [String] = [system] + policies, revision: String? = nil
  ) throws -> [ClusterObject] {
    try resolve(texts).systems.flatMap {
      ClusterObjects.objects(of: $0, revision: revision, ClusterSettings(mode: mode))
    }
  }

  static func app(_ name: String, in resolution: Resolution) throws -> (ResolvedApp, ResolvedSystem) {
    let system = try #require(resolution.systems.first)
    return (try #require(system.apps.first { $0.app.name.text == name }), system)
  }
}

extension JSONValue {
  /// The element at `index` of a list.
  subscript(index: Int) -> JSONValue? { array.flatMap { $0.indices.contains(index) ? $0[index] : nil } }
}
