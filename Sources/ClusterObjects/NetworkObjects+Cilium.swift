import CASACore
import CustomResources

extension NetworkObjects {
  /// The same for Cilium, which knows names too: it lets only those be asked for that are needed, and admits the
  /// addresses that its own DNS proxy saw in the answers.
  static func ciliumPolicy(_ reach: Reach) -> ClusterObject {
    let settings = reach.settings
    var ingress: [JSONValue] = []
    if let port = reach.entrancePort {
      var callers = reach.callers.map { selector([WorkloadLabel.key: $0]) }
      if reach.isListed { callers.append(runtime(settings)) }
      if !callers.isEmpty { ingress.append(["fromEndpoints": .array(callers), "toPorts": ports([port])]) }
    }
    // Kubelets, which ask from the machine itself.
    ingress.append(["fromEntities": ["host"], "toPorts": ports(reach.probePorts)])

    var egress: [JSONValue] = [
      ["toEndpoints": [dnsServer(settings)], "toPorts": [dnsPorts(reach)]],
      ["toEndpoints": [runtime(settings)], "toPorts": ports([settings.runtimePort])],
    ]
    if !settings.dnsAddresses.isEmpty {
      egress.append([
        "toCIDR": .texts(settings.dnsAddresses.map { $0 + ($0.contains(":") ? "/128" : "/32") }),
        "toPorts": [dnsPorts(reach)],
      ])
    }
    for call in reach.calls { egress.append(["toEndpoints": [callee(call)], "toPorts": ports([call.port])]) }
    for service in reach.services {
      // By its namespace, as in the other policy: `toServices` knows no ports.
      egress.append([
        "toEndpoints": [selector([Self.podNamespace: service.namespace])], "toPorts": ports([service.port]),
      ])
    }
    if let llm = reach.externalLLM {
      var rule: [String: JSONValue] = [
        "ports": [["port": .string(String(llm.port)), "protocol": "TCP"]]
      ]
      // Others may have the same addresses: the handshake must name this host.
      if llm.isTLS { rule["serverNames"] = [.string(llm.host)] }
      egress.append(["toFQDNs": [["matchName": .string(llm.host)]], "toPorts": [.object(rule)]])
    }
    return ClusterObject(
      "cilium.io/v2", "CiliumNetworkPolicy", of: reach.system,
      name: WorkloadFile.secretName(of: reach.workload),
      [
        "spec": [
          "description": .string("What \(reach.workload) may reach by its CASAPolicy, and who may reach it."),
          // Each list has rules, which is what makes Cilium deny all else in its direction.
          "endpointSelector": selector([WorkloadLabel.key: reach.label]), "ingress": .array(ingress),
          "egress": .array(egress),
        ]
      ])
  }

  private static let podNamespace = "k8s:io.kubernetes.pod.namespace"

  private static func selector(_ labels: [String: String]) -> JSONValue {
    ["matchLabels": ClusterObject.texts(labels)]
  }

  private static func ports(_ ports: [Int]) -> JSONValue {
    [["ports": .array(ports.map { ["port": .string(String($0)), "protocol": "TCP"] })]]
  }

  private static func runtime(_ settings: ClusterSettings) -> JSONValue {
    selector(settings.runtimeLabels.merging([podNamespace: settings.systemNamespace]) { $1 })
  }

  private static func dnsServer(_ settings: ClusterSettings) -> JSONValue {
    selector(settings.dnsLabels.merging([podNamespace: settings.dnsNamespace]) { $1 })
  }

  /// What may be asked for. Below a domain `**.` is any number of labels from Cilium 1.19 on, and one before.
  private static func dnsPorts(_ reach: Reach) -> JSONValue {
    var names = reach.names.map { ["matchName": .string($0)] as JSONValue }
    for domain in reach.domains {
      if !reach.names.contains(domain) { names.append(["matchName": .string(domain)]) }
      names.append(["matchPattern": .string("**." + domain)])
    }
    return ["ports": [["port": "53", "protocol": "UDP"]], "rules": ["dns": .array(names)]]
  }

  private static func callee(_ call: Reach.Call) -> JSONValue {
    guard let label = call.label else {
      return ["matchExpressions": [["key": .string(WorkloadLabel.key), "operator": "DoesNotExist"]]]
    }
    return selector([WorkloadLabel.key: label])
  }
}
