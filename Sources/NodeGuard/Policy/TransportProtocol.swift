/// What a rule can permit. The raw value is the number in the IP header.
public enum TransportProtocol: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case tcp = 6
  case udp = 17

  /// `tcp` or `udp`; nil for anything else.
  public init?(_ text: String) {
    guard let named = Self.allCases.first(where: { $0.description == text }) else { return nil }
    self = named
  }

  public var description: String {
    switch self {
    case .tcp: "tcp"
    case .udp: "udp"
    }
  }
}
