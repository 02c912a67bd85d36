/// Which way a request passes the proxy, seen from the workload.
public enum Direction: String, Sendable, Hashable {
  /// To the workload.
  case ingress
  /// From the workload to what it calls.
  case egress
}
