import CASACore
import CustomResources

/// Reads the input as a file of custom resources, and works out what they come to.
@Sendable func fuzzCustomResources(_ bytes: [UInt8]) {
  guard let text = String(validating: bytes, as: UTF8.self), let resources = try? Resource.read(yaml: text) else {
    return
  }
  let systems = resources.compactMap { if case .system(let system) = $0 { system } else { nil } }
  let policies = resources.compactMap { if case .policy(let policy) = $0 { policy } else { nil } }
  let resolution = Resolution(systems: systems, policies: policies)
  let names = resolution.systems.map(\.object.name)
  require(Set(names).count == names.count, "a name is one system's")
  for system in resolution.systems {
    let namespace = system.object.metadata.namespace
    for app in system.apps {
      require(app.app.entrance.map { $0.service.namespace == namespace } ?? true, "a system leads to its own Services")
      guard let policy = app.policy else {
        require(
          app.calls.isEmpty && app.llm == nil && app.otherEndpoints.isEmpty, "without a policy nothing is reached")
        continue
      }
      require(policy.metadata.namespace == namespace, "a policy speaks of its own namespace")
      require(
        app.calls.allSatisfy { policy.allowedEndpoints.contains($0.entrance.service) },
        "only what a policy names is called")
      require(app.llm.map { $0.host == policy.llmEndpoint?.fqdn } ?? true, "the LLM is the policy's")
    }
  }
}
