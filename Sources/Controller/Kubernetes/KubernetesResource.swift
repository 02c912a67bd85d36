/// A kind of object and where the API server keeps it.
package struct KubernetesResource: Hashable, Sendable {
  /// Empty for the core group.
  package let group: String
  package let version: String
  package let plural: String
  package let kind: String
  package let isNamespaced: Bool

  package init(group: String, version: String, plural: String, kind: String, isNamespaced: Bool = true) {
    self.group = group
    self.version = version
    self.plural = plural
    self.kind = kind
    self.isNamespaced = isNamespaced
  }

  /// As objects carry it, such as `apps/v1`.
  package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
}

extension KubernetesResource {
  /// The path of the collection, of one object or of its subresource, percent-encoded.
  ///
  /// Names come from objects that others wrote, and must not lead anywhere else.
  /// - Parameter namespace: nil for all namespaces, or where there are none.
  /// - Throws: `KubernetesError.invalid` for what no path segment may be.
  func path(
    namespace: String?, name: String? = nil, subresource: String? = nil
  ) throws(KubernetesError) -> String {
    var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
    if isNamespaced {
      if let namespace { path += "/namespaces/" + (try Self.segment(namespace)) }
      guard name == nil || namespace != nil else { throw .invalid("\(kind) \(name ?? "") needs a namespace") }
    } else if namespace != nil {
      throw .invalid("\(kind) belongs to the cluster and has no namespace")
    }
    path += "/" + plural
    if let name { path += "/" + (try Self.segment(name)) }
    if let subresource { path += "/" + subresource }
    return path
  }

  /// What `apimachinery` takes for a path segment: anything but `.`, `..`, and what holds `/` or `%`.
  private static func segment(_ name: String) throws(KubernetesError) -> String {
    guard (1...253).contains(name.utf8.count), name != ".", name != "..",
      !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "%") || $0 <= 0x20 || $0 == 0x7F })
    else {
      throw .invalid("a name has 1 to 253 characters without /, % and spaces, and is not . or ..; this one is not so")
    }
    return percentEncoded(name)
  }

  /// Everything but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
  static func percentEncoded(_ text: String) -> String {
    var encoded: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        encoded.append(byte)
      default:
        let digits = Array("0123456789ABCDEF".utf8)
        encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }
}

extension KubernetesResource {
  package static let multiAgentSystems = casa("multiagentsystems", "MultiAgentSystem")
  package static let casaPolicies = casa("casapolicies", "CASAPolicy")

  package static let configMaps = core("configmaps", "ConfigMap")
  package static let events = core("events", "Event")
  package static let namespaces = core("namespaces", "Namespace", isNamespaced: false)
  package static let nodes = core("nodes", "Node", isNamespaced: false)
  package static let pods = core("pods", "Pod")
  package static let secrets = core("secrets", "Secret")
  package static let serviceAccounts = core("serviceaccounts", "ServiceAccount")
  package static let services = core("services", "Service")

  package static let daemonSets = apps("daemonsets", "DaemonSet")
  package static let deployments = apps("deployments", "Deployment")
  package static let replicaSets = apps("replicasets", "ReplicaSet")
  package static let statefulSets = apps("statefulsets", "StatefulSet")

  package static let endpointSlices = KubernetesResource(
    group: "discovery.k8s.io", version: "v1", plural: "endpointslices", kind: "EndpointSlice")
  package static let networkPolicies = KubernetesResource(
    group: "networking.k8s.io", version: "v1", plural: "networkpolicies", kind: "NetworkPolicy")
  package static let leases = KubernetesResource(
    group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease")
  package static let mutatingWebhookConfigurations = KubernetesResource(
    group: "admissionregistration.k8s.io", version: "v1", plural: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration", isNamespaced: false)
  package static let validatingWebhookConfigurations = KubernetesResource(
    group: "admissionregistration.k8s.io", version: "v1", plural: "validatingwebhookconfigurations",
    kind: "ValidatingWebhookConfiguration", isNamespaced: false)
  package static let customResourceDefinitions = KubernetesResource(
    group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition", isNamespaced: false)

  package static let ciliumNetworkPolicies = KubernetesResource(
    group: "cilium.io", version: "v2", plural: "ciliumnetworkpolicies", kind: "CiliumNetworkPolicy")
  package static let ciliumEnvoyConfigs = KubernetesResource(
    group: "cilium.io", version: "v2", plural: "ciliumenvoyconfigs", kind: "CiliumEnvoyConfig")

  package static let envoyFilters = KubernetesResource(
    group: "networking.istio.io", version: "v1alpha3", plural: "envoyfilters", kind: "EnvoyFilter")
  package static let serviceEntries = KubernetesResource(
    group: "networking.istio.io", version: "v1", plural: "serviceentries", kind: "ServiceEntry")
  package static let destinationRules = KubernetesResource(
    group: "networking.istio.io", version: "v1", plural: "destinationrules", kind: "DestinationRule")
  package static let sidecars = KubernetesResource(
    group: "networking.istio.io", version: "v1", plural: "sidecars", kind: "Sidecar")
  package static let authorizationPolicies = KubernetesResource(
    group: "security.istio.io", version: "v1", plural: "authorizationpolicies", kind: "AuthorizationPolicy")
  package static let peerAuthentications = KubernetesResource(
    group: "security.istio.io", version: "v1", plural: "peerauthentications", kind: "PeerAuthentication")
  package static let telemetries = KubernetesResource(
    group: "telemetry.istio.io", version: "v1", plural: "telemetries", kind: "Telemetry")

  package static let all = [
    multiAgentSystems, casaPolicies, configMaps, events, namespaces, nodes, pods, secrets, serviceAccounts, services,
    deployments, daemonSets, replicaSets, statefulSets, endpointSlices, networkPolicies, leases,
    mutatingWebhookConfigurations,
    validatingWebhookConfigurations, customResourceDefinitions, ciliumNetworkPolicies, ciliumEnvoyConfigs,
    envoyFilters, serviceEntries, destinationRules, sidecars, authorizationPolicies, peerAuthentications, telemetries,
  ]

  private static func core(_ plural: String, _ kind: String, isNamespaced: Bool = true) -> KubernetesResource {
    KubernetesResource(group: "", version: "v1", plural: plural, kind: kind, isNamespaced: isNamespaced)
  }

  private static func apps(_ plural: String, _ kind: String) -> KubernetesResource {
    KubernetesResource(group: "apps", version: "v1", plural: plural, kind: kind)
  }

  private static func casa(_ plural: String, _ kind: String) -> KubernetesResource {
    KubernetesResource(group: "casa.io", version: "v1alpha1", plural: plural, kind: kind)
  }
}
