public import CustomResources

/// All that systems come to in a cluster beside their workloads' Secrets.
public enum SystemObjects {
  /// What one system owns alone: the objects of its workloads, whose names all begin so.
  public static let workloadPrefix = "casa-workload-"

  public static func ofWorkloads(_ system: ResolvedSystem, settings: ClusterSettings) -> [ClusterObject] {
    NetworkObjects.ofWorkloads(system, settings: settings)
      + (settings.mode == .istio ? IstioObjects.ofWorkloads(system, settings: settings) : [])
  }

  /// What the systems of a namespace own together, under other names.
  public static func shared(
    in namespace: String, _ systems: [ResolvedSystem], settings: ClusterSettings
  ) -> [ClusterObject] {
    guard !systems.isEmpty else { return [] }
    return NetworkObjects.shared(in: namespace, systems, settings: settings)
      // `casa authorize` takes up changed Secrets by itself.
      + (settings.mode == .istio
        ? IstioObjects.shared(in: namespace, systems, revision: nil, settings: settings) : [])
  }

  /// A kind of object that is made.
  public struct Kind: Sendable, Hashable {
    public let apiVersion: String
    public let kind: String
  }

  public static func kinds(_ settings: ClusterSettings) -> [Kind] {
    let all =
      [("networking.k8s.io/v1", "NetworkPolicy")]
      + (settings.mode == .cilium
        ? [("cilium.io/v2", "CiliumNetworkPolicy")]
        : [
          ("networking.istio.io/v1alpha3", "EnvoyFilter"), ("networking.istio.io/v1", "ServiceEntry"),
          ("networking.istio.io/v1", "DestinationRule"), ("networking.istio.io/v1", "Sidecar"),
          ("security.istio.io/v1", "AuthorizationPolicy"), ("security.istio.io/v1", "PeerAuthentication"),
          ("telemetry.istio.io/v1", "Telemetry"), ("v1", "Service"), ("v1", "ServiceAccount"), ("apps/v1", "Deployment"),
        ])
    return all.map { Kind(apiVersion: $0.0, kind: $0.1) }
  }
}
