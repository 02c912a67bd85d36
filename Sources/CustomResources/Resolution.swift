import CASACore

/// What all objects of a cluster, or of a file, come to. A pure function of them: whoever computes it from the same
/// objects comes to the same, in whatever order they came.
public struct Resolution: Sendable, Hashable {
  /// In the order in which they were there.
  public let systems: [ResolvedSystem]
  /// Systems that can't be in force, by `namespace/name`.
  public let refusedSystems: [String: ResourceProblem]
  /// What is wrong with policies, by `namespace/name`. `targetUnknown` may pass by itself.
  public let policyProblems: [String: ResourceProblem]

  /// - Parameters:
  ///   - systems: all of the cluster, since names at the runtime are the cluster's.
  ///   - policies: those of the same namespaces.
  public init(systems: [MultiAgentSystem], policies: [CASAPolicy]) {
    var refused: [String: ResourceProblem] = [:]
    var accepted: [MultiAgentSystem] = []
    var names: [Name: MultiAgentSystem] = [:]
    var workloads: [WorkloadKey: MultiAgentSystem] = [:]
    for system in systems.sorted(by: { $0.metadata.precedes($1.metadata) }) where !system.metadata.isBeingDeleted {
      let namespace = system.metadata.namespace
      if let owner = names[system.name] {
        refused[system.metadata.reference] = ResourceProblem(
          .nameTaken,
          "the name \(system.name) is that of \(Self.nameOfOwner(owner, seenFrom: namespace)); make another system, "
            + "with another `spec.name`"
        )
        continue
      }
      let own = system.apps.compactMap { $0.workloadName.map { WorkloadKey(namespace: namespace, name: $0) } }
      if let taken = own.first(where: { workloads[$0] != nil }), let owner = workloads[taken] {
        refused[system.metadata.reference] = ResourceProblem(
          .workloadTaken, "the workload \(taken.name) is an app of \(owner.metadata.reference)")
        continue
      }
      names[system.name] = system
      for key in own { workloads[key] = system }
      accepted.append(system)
    }
    refusedSystems = refused

    var problems: [String: ResourceProblem] = [:]
    var byTarget: [WorkloadKey: CASAPolicy] = [:]
    for policy in policies.sorted(by: { $0.metadata.precedes($1.metadata) }) where !policy.metadata.isBeingDeleted {
      let key = WorkloadKey(namespace: policy.metadata.namespace, name: policy.target.name)
      if let first = byTarget[key] {
        problems[policy.metadata.reference] = ResourceProblem(
          .targetTaken,
          "\(policy.target.name) has the policy \(first.metadata.name); one policy says all of a workload")
        continue
      }
      byTarget[key] = policy
      guard let system = workloads[key] else {
        problems[policy.metadata.reference] = ResourceProblem(
          .targetUnknown,
          "no app of a MultiAgentSystem in \(key.namespace) has `kubernetesWorkloadName: \(key.name)`")
        continue
      }
      if let problem = Self.llmProblem(policy, system) { problems[policy.metadata.reference] = problem }
    }
    policyProblems = problems
    self.systems = accepted.map { Self.resolve($0, byTarget) }
  }

  private struct WorkloadKey: Hashable {
    let namespace: String
    let name: String
  }

  /// Whoever may not look into another namespace learns only that there is an owner.
  private static func nameOfOwner(_ owner: MultiAgentSystem, seenFrom namespace: String) -> String {
    owner.metadata.namespace == namespace ? owner.metadata.reference : "a system of another namespace"
  }

  private static func llmProblem(_ policy: CASAPolicy, _ system: MultiAgentSystem) -> ResourceProblem? {
    guard let permitted = policy.llmEndpoint else { return nil }
    guard let llm = system.llm else {
      return ResourceProblem(
        .llmMismatch,
        "the policy permits \(permitted.fqdn):\(permitted.port), but \(system.metadata.name) has no `llm_host`")
    }
    guard llm.host == permitted.fqdn, llm.port == permitted.port else {
      return ResourceProblem(
        .llmMismatch,
        "the policy permits \(permitted.fqdn):\(permitted.port), but \(system.metadata.name) has \(llm.host):\(llm.port)"
      )
    }
    return nil
  }

  private static func resolve(_ system: MultiAgentSystem, _ policies: [WorkloadKey: CASAPolicy]) -> ResolvedSystem {
    var problems: [ResourceProblem] = []
    func policy(of app: MultiAgentSystem.App) -> CASAPolicy? {
      guard let workload = app.workloadName else { return nil }
      return policies[WorkloadKey(namespace: system.metadata.namespace, name: workload)]
    }
    func callees(of app: MultiAgentSystem.App) -> [MultiAgentSystem.App] {
      system.apps.filter { callee in
        callee.name != app.name && (app.calls?.contains(callee.name) ?? app.kind.usuallyCalls(callee.kind))
      }
    }
    /// What clients say of their requests, by whom they call.
    var saidByClients: [Name: Set<String>] = [:]
    for client in system.apps where client.kind == .client {
      guard let path = client.promptJSONPath else { continue }
      for callee in callees(of: client) { saidByClients[callee.name, default: []].insert(path) }
    }
    /// As the agent says, or as all clients say that call it, where its policy lets plain requests in.
    func promptJSONPath(of agent: MultiAgentSystem.App) -> String? {
      guard agent.kind == .agent, agent.promptJSONPath == nil else { return agent.promptJSONPath }
      guard policy(of: agent)?.allowedProtocols.contains(.http) != false,
        let paths = saidByClients[agent.name], paths.count == 1
      else { return nil }
      return paths.first
    }
    func protocols(of app: MultiAgentSystem.App) -> Set<CASAPolicy.AllowedProtocol> {
      switch app.kind {
      case .mcpServer: [.mcp]
      case .agent: [promptJSONPath(of: app) == nil ? .a2a : .http]
      case .client: [.a2a, .http]
      }
    }
    /// Without a policy an app may be called, though it reaches nothing.
    func mayBeCalled(_ app: MultiAgentSystem.App) -> Bool {
      guard app.entrance != nil else { return false }
      guard let policy = policy(of: app) else { return true }
      return !policy.allowedProtocols.isDisjoint(with: protocols(of: app))
    }
    let apps = system.apps.map { app in
      let path = promptJSONPath(of: app)
      guard let policy = policy(of: app) else {
        if let workload = app.workloadName {
          problems.append(
            ResourceProblem(.noPolicy, "no CASAPolicy names \(workload), so \(app.name) reaches nothing"))
        }
        return ResolvedApp(
          app: app, policy: nil, calls: [], llm: nil, otherEndpoints: [], isCallable: mayBeCalled(app),
          promptJSONPath: path, callsPromptJSONPath: nil)
      }
      if app.entrance != nil, !mayBeCalled(app) {
        let needed = protocols(of: app).map(\.rawValue).sorted().joined(separator: " or ")
        problems.append(
          ResourceProblem(
            .protocolNotAllowed, "\(app.name) is called by \(needed), which \(policy.metadata.name) does not allow"))
      }
      var calls: [ResolvedApp.Call] = []
      var firstAgent: MultiAgentSystem.App?
      for callee in callees(of: app) {
        guard let entrance = callee.entrance, mayBeCalled(callee), policy.allowedEndpoints.contains(entrance.service),
          !policy.allowedProtocols.isDisjoint(with: protocols(of: callee))
        else { continue }
        if callee.kind == .agent {
          // A sidecar looks for the user's input in one place.
          if let first = firstAgent, promptJSONPath(of: first) != promptJSONPath(of: callee) {
            problems.append(
              ResourceProblem(
                .protocolNotAllowed,
                "\(app.name) can't call \(callee.name), which takes the user's input elsewhere than \(first.name) does; "
                  + "expected the same `promptFieldJsonPath`, or none, for all agents that it calls"))
            continue
          }
          firstAgent = firstAgent ?? callee
        }
        calls.append(ResolvedApp.Call(app: callee.name, entrance: entrance))
      }
      let services = Set(system.apps.compactMap { $0.entrance?.service })
      return ResolvedApp(
        app: app, policy: policy, calls: calls,
        llm: policy.llmEndpoint != nil && llmProblem(policy, system) == nil ? system.llm : nil,
        otherEndpoints: policy.allowedEndpoints.filter { !services.contains($0) }, isCallable: mayBeCalled(app),
        promptJSONPath: path, callsPromptJSONPath: firstAgent.flatMap(promptJSONPath(of:)))
    }
    return ResolvedSystem(object: system, apps: apps, problems: problems)
  }
}

extension AppKind {
  /// Whom an app of this kind calls when the system does not say.
  func usuallyCalls(_ callee: AppKind) -> Bool {
    switch (self, callee) {
    case (.client, .agent), (.agent, .agent), (.agent, .mcpServer): true
    case (.client, _), (.agent, .client), (.mcpServer, _): false
    }
  }
}
