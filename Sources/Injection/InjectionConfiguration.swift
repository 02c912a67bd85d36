/// What the webhooks of one installation go by. The same review gets the same answer as long as this is the same.
public struct InjectionConfiguration: Sendable, Hashable {
  /// Whose Envoy stands beside an app.
  public enum Mode: String, Sendable, Hashable, CaseIterable {
    /// Ours, which the webhook puts there.
    case cilium
    /// Istio's, which Istio puts there; the webhook only sees to it that nobody switches it off.
    case istio
  }

  public enum PullPolicy: String, Sendable, Hashable, CaseIterable {
    case always = "Always"
    case ifNotPresent = "IfNotPresent"
    case never = "Never"
  }

  public var mode: Mode
  /// The image with `casa`, Envoy and the filter.
  public var image: String
  public var pullPolicy = PullPolicy.ifNotPresent
  /// Whether the cluster has sidecars among the init containers (Kubernetes 1.29 and later).
  public var usesNativeSidecars = true
  /// Which user an app gets whose pod names none; nil refuses such pods.
  public var defaultUser: UInt32?
  /// Members may take injection from a namespace, and forward ports of guarded pods.
  public var exemptGroups: Set<String> = ["system:masters"]
  /// Who alone may write the Secrets of workloads.
  public var controller = "system:serviceaccount:casa-system:casa-controller"
  /// The image that Istio's containers must have, in mode `istio`.
  public var istioProxyImage: String?

  public init(mode: Mode = .cilium, image: String) {
    self.mode = mode
    self.image = image
  }
}
