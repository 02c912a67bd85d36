public import CustomResources

/// What all objects that CASA writes into a cluster have in common.
public struct ClusterSettings: Sendable, Hashable {
  /// Whose Envoys stand beside the workloads.
  public enum Mode: String, Sendable, Hashable, CaseIterable {
    /// Our own, injected; the network's policies are Cilium's, with Kubernetes' own beside them.
    case cilium
    /// Istio's.
    case istio
  }

  public var mode: Mode
  /// Where CASA's own parts run.
  public var systemNamespace: String
  /// Where node guards run; nil when that is not known.
  public var nodeNamespace: String?
  /// The runtime's Service, by a name that resolves in every namespace.
  public var runtime: ServiceAddress
  /// The port on which the runtime listens in its pods.
  public var runtimePort: Int
  /// The labels of the runtime's pods.
  public var runtimeLabels: [String: String]
  /// The image of all of CASA's parts.
  public var image: String
  /// What Services' names end in.
  public var clusterDomain: String
  /// Domains that nodes add to the pods' own search list; what a program asks for is asked for below these too.
  public var searchDomains: [String]
  public var dnsNamespace: String
  /// The labels of the DNS server's pods.
  public var dnsLabels: [String: String]
  /// The Service of the DNS server, in `dnsNamespace`.
  public var dnsService: String
  /// Where DNS is answered beside the Service, such as a node's own cache at 169.254.20.10.
  public var dnsAddresses: [String]
  /// Where istiod runs.
  public var istioNamespace: String
  /// How many of `casa authorize` run in a namespace in Istio mode. Each keeps the sessions it was asked about, and
  /// gets those of the others from the runtime when a request names one by `traceparent`.
  public var authorizeReplicas: Int

  public init(
    mode: Mode, systemNamespace: String = "casa-system", image: String = "casa:latest",
    clusterDomain: String = "cluster.local"
  ) {
    self.mode = mode
    self.systemNamespace = systemNamespace
    nodeNamespace = nil
    runtime = ServiceAddress(namespace: systemNamespace, name: "casa-runtime", port: 8700)
    runtimePort = 8700
    runtimeLabels = ["app.kubernetes.io/name": "casa", "app.kubernetes.io/component": "runtime"]
    self.image = image
    self.clusterDomain = clusterDomain
    searchDomains = []
    dnsNamespace = "kube-system"
    dnsLabels = ["k8s-app": "kube-dns"]
    dnsService = "kube-dns"
    dnsAddresses = []
    istioNamespace = "istio-system"
    authorizeReplicas = 1
  }

  /// Where kubelets ask whether a pod works: our sidecar's port, and Istio's.
  static let probePort = 15021
  /// Istio's agent, which answers for the app when Istio has rewritten its probes.
  static let istioProbePort = 15020
  /// Where `casa authorize` listens in Istio mode.
  static let authorizationPort = 9191
  /// istiod's port for its proxies.
  static let istiodPort = 15012
}

extension ClusterSettings {
  /// Where nothing is injected, and so nothing denied, whatever label a namespace has: without the pods of these
  /// neither the cluster nor CASA would come up again. The webhooks leave out the same.
  var exemptNamespaces: Set<String> {
    Set(["kube-system", "kube-public", "kube-node-lease", systemNamespace] + [nodeNamespace].compactMap { $0 })
  }

  /// The full name of a Service.
  public func hostName(of service: ServiceAddress) -> String {
    "\(service.name).\(service.namespace).svc.\(clusterDomain)"
  }

  /// All the ways in which a workload of `namespace` may write a Service's host, the full one last.
  public func hostNames(of service: ServiceAddress, from namespace: String) -> [String] {
    let qualified = ["\(service.name).\(service.namespace)", "\(service.name).\(service.namespace).svc"]
    return (service.namespace == namespace ? [service.name] : []) + qualified + [hostName(of: service)]
  }

  /// What a program of `namespace` asks the DNS server for when it is given `host`: the host, and before it the host
  /// below each domain of the search list. One that were not answered could end the search.
  ///
  /// Names of one label are left out: no server of a cluster answers them.
  public func lookups(of host: String, from namespace: String) -> [String] {
    let domains = ["\(namespace).svc.\(clusterDomain)", "svc.\(clusterDomain)", clusterDomain] + searchDomains
    let names = [host] + domains.map { "\(host).\($0)" }
    return names.filter { $0.contains(".") && $0.utf8.count <= 253 }
  }

  /// The same of all the ways in which a Service may be written, each name once, sorted.
  func lookups(of service: ServiceAddress, from namespace: String) -> Set<String> {
    Set(hostNames(of: service, from: namespace).flatMap { lookups(of: $0, from: namespace) })
  }
}

extension MultiAgentSystem.LLM {
  /// The Service that the host is of, when it is one of the cluster's by its name: `llm`, `llm.models.svc` or the full
  /// one. Two labels are a host of the internet, as `openai.com` is.
  public func service(from namespace: String, settings: ClusterSettings) -> ServiceAddress? {
    var text = host
    let suffix = ".svc.\(settings.clusterDomain)"
    if text.hasSuffix(suffix) { text = text.dropLast(suffix.count) + ".svc" }
    let labels = text.split(separator: ".", omittingEmptySubsequences: false).count
    guard labels == 1 || (labels == 3 && text.hasSuffix(".svc")) else { return nil }
    return ServiceAddress(text, from: namespace, defaultPort: port).map {
      ServiceAddress(namespace: $0.namespace, name: $0.name, port: port)
    }
  }
}
