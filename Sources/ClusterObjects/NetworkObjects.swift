import CASACore
import CustomResources

/// The network's policies of all workloads: deny by default, and what each one's CASAPolicy names.
///
/// Kubernetes' own NetworkPolicy is written in both modes. It knows addresses and ports, no names, so it is the second
/// line where Cilium's stands too. There is no CiliumEnvoyConfig: the Envoy that decides about requests is the
/// sidecar's, in the pod's own network namespace, and Cilium's would see only what that one has let through.
///
/// Pods are selected by `WorkloadLabel`, peers too, and never by Service: a policy's ports are those of the pods. The
/// sidecar takes redirected connections, so on the wire they keep the app's own port.
enum NetworkObjects {
  static func objects(of system: ResolvedSystem, settings: ClusterSettings) -> [ClusterObject] {
    var objects = [denyAll(system)]
    if settings.mode == .istio { objects.append(authorizePolicy(system, settings)) }
    for app in system.apps where app.app.workloadName != nil {
      let reach = Reach(of: app, in: system, settings: settings)
      objects.append(networkPolicy(reach))
      if settings.mode == .cilium { objects.append(ciliumPolicy(reach)) }
    }
    return objects
  }

  /// For pods that have a workload's label and are no app's, such as those of one that was taken out of the system.
  private static func denyAll(_ system: ResolvedSystem) -> ClusterObject {
    policy(
      "casa-default-deny-" + system.object.metadata.name, of: system,
      selecting: ["matchExpressions": [["key": .string(WorkloadLabel.key), "operator": "Exists"]]],
      ingress: [], egress: [])
  }

  private static func networkPolicy(_ reach: Reach) -> ClusterObject {
    let settings = reach.settings
    var ingress: [JSONValue] = []
    if let port = reach.entrancePort {
      var callers = reach.callers.map { ["podSelector": labels([WorkloadLabel.key: $0])] as JSONValue }
      if reach.isListed { callers.append(runtimePods(settings)) }
      if !callers.isEmpty { ingress.append(["from": .array(callers), "ports": ports([port])]) }
    }
    ingress.append(["ports": ports(reach.probePorts)])
    var egress = [dns(settings)]
    switch settings.mode {
    case .cilium: egress.append(["to": [runtimePods(settings)], "ports": ports([settings.runtimePort])])
    case .istio:
      egress.append([
        "to": [["podSelector": labels(AuthorizeObjects.labels(of: reach.system))]],
        "ports": ports([ClusterSettings.authorizationPort]),
      ])
      egress.append(istiod(settings))
    }
    for call in reach.calls {
      egress.append(["to": [callee(call)], "ports": ports([call.port])])
    }
    for service in reach.services {
      // Which pods a Service leads to is not known here, and its pods may listen on another port than its own: then
      // this permits nothing, and an administrator's policy must.
      egress.append([
        "to": [["namespaceSelector": labels([namespaceLabel: service.namespace])]], "ports": ports([service.port]),
      ])
    }
    if let host = reach.externalLLM { egress.append(["to": .array(internet), "ports": ports([host.port])]) }
    return policy(
      WorkloadFile.secretName(of: reach.workload), of: reach.system,
      selecting: labels([WorkloadLabel.key: reach.label]), ingress: ingress, egress: egress)
  }

  /// The authorization service of a system in Istio mode.
  private static func authorizePolicy(_ system: ResolvedSystem, _ settings: ClusterSettings) -> ClusterObject {
    let callers: JSONValue = [
      "podSelector": ["matchExpressions": [["key": .string(WorkloadLabel.key), "operator": "Exists"]]]
    ]
    return policy(
      AuthorizeObjects.name(of: system), of: system, selecting: labels(AuthorizeObjects.labels(of: system)),
      ingress: [
        ["from": [callers], "ports": ports([ClusterSettings.authorizationPort])],
        ["ports": ports([ClusterSettings.istioProbePort, ClusterSettings.probePort])],
      ],
      egress: [
        dns(settings), istiod(settings), ["to": [runtimePods(settings)], "ports": ports([settings.runtimePort])],
      ])
  }

  // MARK: Parts

  static let namespaceLabel = "kubernetes.io/metadata.name"

  private static func policy(
    _ name: String, of system: ResolvedSystem, selecting pods: JSONValue, ingress: [JSONValue], egress: [JSONValue]
  ) -> ClusterObject {
    ClusterObject(
      "networking.k8s.io/v1", "NetworkPolicy", of: system, name: name,
      [
        "spec": [
          "podSelector": pods, "policyTypes": ["Ingress", "Egress"], "ingress": .array(ingress),
          "egress": .array(egress),
        ]
      ])
  }

  private static func labels(_ labels: [String: String]) -> JSONValue {
    ["matchLabels": ClusterObject.texts(labels)]
  }

  private static func ports(_ ports: [Int], _ transport: String = "TCP") -> JSONValue {
    .array(ports.map { ["protocol": .string(transport), "port": .whole($0)] })
  }

  private static func runtimePods(_ settings: ClusterSettings) -> JSONValue {
    [
      "namespaceSelector": labels([namespaceLabel: settings.systemNamespace]),
      "podSelector": labels(settings.runtimeLabels),
    ]
  }

  private static func istiod(_ settings: ClusterSettings) -> JSONValue {
    [
      "to": [
        [
          "namespaceSelector": labels([namespaceLabel: settings.istioNamespace]),
          "podSelector": labels(["app": "istiod"]),
        ]
      ],
      "ports": ports([ClusterSettings.istiodPort]),
    ]
  }

  /// UDP only: DNS over TCP would pass whatever reads the questions on their way.
  private static func dns(_ settings: ClusterSettings) -> JSONValue {
    let servers: [JSONValue] = [
      [
        "namespaceSelector": labels([namespaceLabel: settings.dnsNamespace]), "podSelector": labels(settings.dnsLabels),
      ]
    ]
    let addresses = settings.dnsAddresses.map { address in
      ["ipBlock": ["cidr": .string(address + (address.contains(":") ? "/128" : "/32"))]] as JSONValue
    }
    return ["to": .array(servers + addresses), "ports": ports([53], "UDP")]
  }

  /// An app without a workload runs as pods that have no label of ours, if in the cluster at all.
  private static func callee(_ call: Reach.Call) -> JSONValue {
    guard let label = call.label else {
      return ["podSelector": ["matchExpressions": [["key": .string(WorkloadLabel.key), "operator": "DoesNotExist"]]]]
    }
    return ["podSelector": labels([WorkloadLabel.key: label])]
  }

  /// A host outside can't be named here: all addresses but those of private networks, of links and of the machine
  /// itself, where a cluster's own things and a cloud's metadata are.
  private static let internet: [JSONValue] = [
    [
      "ipBlock": [
        "cidr": "0.0.0.0/0",
        "except": [
          "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
          "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
        ],
      ]
    ],
    // Only what is handed out for the internet at all.
    ["ipBlock": ["cidr": "2000::/3"]],
  ]
}
