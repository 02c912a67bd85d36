/// A rule of a workload's policy as it is written; it permits, and nothing denies.
public struct PolicyRule: Sendable, Hashable {
  /// From 1, in the order of the file: first all of `outbound`, then all of `inbound`.
  public let number: UInt16
  public let direction: FlowDirection
  public let transport: TransportProtocol
  /// As it is written: a prefix, an address, an endpoint's name or `any`.
  public let peer: String
  /// What `peer` stands for.
  public let prefixes: [AddressPrefix]
  /// The peer's for `outbound`, the workload's own for `inbound`.
  public let ports: [PortRange]

  /// How many rules it is in the kernel.
  public var kernelRules: Int { prefixes.count * ports.count }

  /// - Parameter port: the peer's for `outbound`, the workload's own for `inbound`.
  public func permits(
    _ direction: FlowDirection, _ transport: TransportProtocol, _ remote: NetworkAddress, port: UInt16
  ) -> Bool {
    direction == self.direction && transport == self.transport && ports.contains { $0.contains(port) }
      && prefixes.contains { $0.contains(remote) }
  }
}

extension PolicyRule: CustomStringConvertible {
  /// Such as `outbound tcp to bank, ports 8443`.
  public var description: String {
    let list = ports.map(\.description).joined(separator: ", ")
    return "\(direction) \(transport) \(direction == .outbound ? "to" : "from") \(peer), ports \(list)"
  }
}
