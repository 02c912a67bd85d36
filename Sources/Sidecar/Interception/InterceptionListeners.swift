import Yams

/// Where a sidecar takes what `casa sidecar intercept` redirects to it: the same two ports, for each family one
/// address.
public struct InterceptionListeners: Sendable, Hashable {
  /// All addresses, since a redirected packet goes to that of the interface it came by.
  public let inbound: [ListenAddress]
  /// Loopback, where the kernel redirects what a program of the pod sends.
  public let outbound: [ListenAddress]

  /// What redirects to the default ports, in both families.
  static let defaults = (
    inbound: ["0.0.0.0", "::"].map { ListenAddress.tcp(host: $0, port: InterceptionRules.defaultInboundPort) },
    outbound: ["127.0.0.1", "::1"].map { ListenAddress.tcp(host: $0, port: InterceptionRules.defaultOutboundPort) }
  )

  /// - Throws: `ConfigurationError` that names the line and the key.
  init(_ node: Node) throws(ConfigurationError) {
    let fields = try YAMLMapping(node, of: "intercept", known: ["inbound", "outbound"])
    func addresses(_ name: String, _ defaults: [ListenAddress]) throws(ConfigurationError) -> [ListenAddress] {
      guard let node = fields[name] else { return defaults }
      var found: [ListenAddress] = []
      for node in node.sequence.map(Array.init) ?? [node] {
        guard let address = node.scalar.flatMap({ ListenAddress(literal: $0.string) }) else {
          throw ConfigurationError("line \(node.line): `\(name)` must be an IP address and a port, or a list of them")
        }
        found.append(address)
      }
      guard !found.isEmpty else { throw ConfigurationError("line \(node.line): `\(name)` names no address") }
      return found
    }
    inbound = try addresses("inbound", Self.defaults.inbound)
    outbound = try addresses("outbound", Self.defaults.outbound)
  }
}
