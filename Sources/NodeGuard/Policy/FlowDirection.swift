/// Who began a connection. The raw value is the kernel's (`enum casa_direction`).
public enum FlowDirection: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// The workload.
  case outbound = 1
  /// Its peer.
  case inbound = 2

  /// `outbound` or `inbound`.
  public var description: String {
    switch self {
    case .outbound: "outbound"
    case .inbound: "inbound"
    }
  }
}
