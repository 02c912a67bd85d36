public import CASACore

/// What CASA needs to know of a cluster, as its API server tells it: objects as JSON, nil where they could not be read.
public struct ClusterFacts: Sendable, Hashable {
  public var major = ""
  public var minor = ""
  /// Seconds by which the API server's clock is ahead of this machine's; nil when it did not say.
  public var clockDifference: Int64?
  public var definitions: [JSONValue]?
  public var mutatingWebhooks: [JSONValue]?
  public var validatingWebhooks: [JSONValue]?
  public var namespaces: [JSONValue]?
  public var pods: [JSONValue]?
  /// Deployments and DaemonSets of CASA's own namespace.
  public var parts: [JSONValue]?
  public var lease: JSONValue?
  public var systems: [JSONValue]?
  public var policies: [JSONValue]?
  /// RFC 3339, for what is compared with now.
  public var now = Timestamp(milliseconds: 0)
  public var systemNamespace = "casa-system"

  public init() {}
}
