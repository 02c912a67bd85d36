import CASACore
public import CustomResources

/// All that the controller writes into a cluster for a system, but the Secrets.
public enum ClusterObjects {
  /// Each goes with the system and is no other's.
  /// - Parameter revision: in Istio mode: differs whenever one of the workloads' Secrets does, so that their
  ///   authorization service starts anew; nil where it sees that by itself.
  public static func objects(
    of system: ResolvedSystem, revision: String? = nil, _ settings: ClusterSettings
  ) -> [ClusterObject] {
    let network = NetworkObjects.objects(of: system, settings: settings)
    switch settings.mode {
    case .cilium: return network
    case .istio: return network + IstioObjects.objects(of: system, revision: revision, settings: settings)
    }
  }

  /// The kinds among which all of them are.
  public static func kinds(_ settings: ClusterSettings) -> [(apiVersion: String, kind: String)] {
    switch settings.mode {
    case .cilium: [("networking.k8s.io/v1", "NetworkPolicy"), ("cilium.io/v2", "CiliumNetworkPolicy")]
    case .istio:
      [
        ("networking.k8s.io/v1", "NetworkPolicy"), ("v1", "ServiceAccount"), ("v1", "Service"),
        ("apps/v1", "Deployment"), ("networking.istio.io/v1alpha3", "EnvoyFilter"),
        ("networking.istio.io/v1", "Sidecar"), ("networking.istio.io/v1", "ServiceEntry"),
        ("networking.istio.io/v1", "DestinationRule"), ("security.istio.io/v1", "PeerAuthentication"),
        ("security.istio.io/v1", "AuthorizationPolicy"), ("telemetry.istio.io/v1", "Telemetry"),
      ]
    }
  }
}
