import CASACore
import CustomResources

/// Whom one workload reaches and who reaches it, in the words of a network: labels, ports and names.
struct Reach {
  struct Call {
    /// The label of the callee's pods; nil when it is no workload.
    let label: String?
    /// The port of its pods.
    let port: Int
    let service: ServiceAddress
  }

  let settings: ClusterSettings
  let system: ResolvedSystem
  let app: ResolvedApp
  let namespace: String
  let workload: String

  var label: String { WorkloadLabel.value(of: workload) }

  /// - Parameter app: one that has a workload.
  init(of app: ResolvedApp, in system: ResolvedSystem, settings: ClusterSettings) {
    self.settings = settings
    self.system = system
    self.app = app
    namespace = system.object.metadata.namespace
    workload = app.app.workloadName ?? app.app.name.text
  }

  /// The port at which the workload is called; nil when nobody may.
  var entrancePort: Int? { app.isCallable ? app.app.entrance?.containerPort : nil }

  /// The labels of those who may call it.
  var callers: [String] {
    system.apps.filter { caller in caller.calls.contains { $0.app == app.app.name } }
      .compactMap { $0.app.workloadName.map(WorkloadLabel.value) }.sorted()
  }

  /// Whether the runtime asks it which tools it has.
  var isListed: Bool { app.app.kind == .mcpServer }

  var probePorts: [Int] {
    settings.mode == .istio
      ? [ClusterSettings.istioProbePort, ClusterSettings.probePort] : [ClusterSettings.probePort]
  }

  var calls: [Call] {
    app.calls.map { call in
      let workload = system.apps.first { $0.app.name == call.app }?.app.workloadName
      return Call(
        label: workload.map(WorkloadLabel.value), port: call.entrance.containerPort, service: call.entrance.service)
    }
  }

  /// Services that are no app's: what else the policy names, and an LLM within the cluster.
  var services: [ServiceAddress] {
    var services = app.otherEndpoints
    if let service = clusterLLM, !services.contains(service) { services.append(service) }
    return services
  }

  private var clusterLLM: ServiceAddress? { app.llm?.service(from: namespace, settings: settings) }

  /// The LLM when it is outside the cluster.
  var externalLLM: MultiAgentSystem.LLM? { clusterLLM == nil ? app.llm : nil }

  /// All names that may be asked for, with what a search list makes of them, sorted.
  var names: [String] {
    var names: Set<String> = []
    if settings.mode == .cilium { names.formUnion(settings.lookups(of: settings.runtime, from: namespace)) }
    for service in calls.map(\.service) + services {
      names.formUnion(settings.lookups(of: service, from: namespace))
    }
    if let llm = externalLLM { names.formUnion(settings.lookups(of: llm.host, from: namespace)) }
    for name in app.policy?.allowedNames ?? [] where !name.hasPrefix("*.") {
      names.formUnion(settings.lookups(of: name, from: namespace))
    }
    return names.sorted()
  }

  /// Domains all names below which may be asked for, they themselves too.
  var domains: [String] {
    (app.policy?.allowedNames ?? []).filter { $0.hasPrefix("*.") }.map { String($0.dropFirst(2)) }.sorted()
  }
}
