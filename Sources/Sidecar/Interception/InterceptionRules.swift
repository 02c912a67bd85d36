/// The packet rules that lead all of a workload's traffic through its sidecar and let nothing pass it by. Pure data;
/// `Interception` puts them into the kernel.
///
/// Every rule stands in a chain of our own, which a built-in chain enters first. Nothing is accepted there: what we
/// allow goes on to whatever other rules the network namespace has.
///
/// Two tables do the work, and neither trusts the other. `nat` redirects each new TCP connection to the sidecar.
/// `filter` sees packets after that, and lets an app's packets go only to the sidecar, to the pod itself and to its
/// resolvers: a connection that is older than the rules, a packet that conntrack calls invalid or does not track, and
/// whatever else was not redirected ends there.
public struct InterceptionRules: Sendable, Hashable {
  /// Where redirected inbound connections go; the sidecar must listen on all addresses there.
  public let inboundPort: Int
  /// Where redirected outbound connections go; the sidecar must listen on 127.0.0.1 and ::1 there.
  public let outboundPort: Int
  /// The user that the sidecar, and nothing else, runs as.
  public let proxyUser: UInt32
  /// Who may be asked for names, at port 53 by UDP and TCP.
  public let resolvers: [IPAddress]
  /// Where the sidecar itself, and nothing else, answers whoever asks how the app is (`ProbeServer`); nil for nowhere.
  public let probePort: Int?

  public static let defaultInboundPort = 15_006
  public static let defaultOutboundPort = 15_001
  /// Where the sidecar of a pod answers probes.
  public static let defaultProbePort = 15_021
  /// The user and the group that the sidecar of a pod runs as.
  public static let defaultProxyUser: UInt32 = 1337

  /// The mark of a connection with the sidecar at one end, in this network namespace's conntrack.
  static let proxyMark = "0xca5a"

  public init(
    inboundPort: Int, outboundPort: Int, proxyUser: UInt32, resolvers: [IPAddress], probePort: Int? = nil
  ) {
    self.inboundPort = inboundPort
    self.outboundPort = outboundPort
    self.proxyUser = proxyUser
    self.resolvers = resolvers
    self.probePort = probePort
  }

  /// One of our chains.
  public struct Chain: Sendable, Hashable {
    public let table: String
    /// The built-in chain whose first rule enters ours.
    public let hook: String
    public let name: String
    /// In the form of `iptables-save`, without the `-A` and the chain's name.
    public let rules: [String]

    var jump: String { "-j \(name)" }
  }

  /// Our chains in the order in which they are set: what denies comes before what redirects.
  public func chains(_ family: IPFamily) -> [Chain] {
    [
      Chain(table: "filter", hook: "INPUT", name: "CASA_INPUT", rules: input(family)),
      // A pod hands nothing on.
      Chain(table: "filter", hook: "FORWARD", name: "CASA_FORWARD", rules: ["-j DROP"]),
      Chain(table: "filter", hook: "OUTPUT", name: "CASA_OUTPUT", rules: output(family)),
      Chain(table: "mangle", hook: "POSTROUTING", name: "CASA_POSTROUTING", rules: leaving(family)),
      Chain(table: "nat", hook: "PREROUTING", name: "CASA_INBOUND", rules: inbound),
      Chain(table: "nat", hook: "OUTPUT", name: "CASA_OUTBOUND", rules: outbound(family)),
    ]
  }

  /// The names of all chains we ever make, by table: what removal removes.
  public static let names: [(table: String, hook: String, name: String)] = InterceptionRules(
    inboundPort: 1, outboundPort: 2, proxyUser: 1, resolvers: []
  ).chains(.ipv4).map { ($0.table, $0.hook, $0.name) }

  // MARK: nat: what is redirected

  private var inbound: [String] {
    ["-i lo -j RETURN"] + probes + ["-p tcp -j REDIRECT --to-ports \(inboundPort)"]
  }

  /// Questions pass on their way in. An app that takes the port, because the sidecar is gone, gives no answer: what
  /// leaves is the sidecar's user's alone.
  private var probes: [String] {
    probePort.map { ["-p tcp -m tcp --dport \($0) -j RETURN"] } ?? []
  }

  private func outbound(_ family: IPFamily) -> [String] {
    var rules = [
      "-m owner --uid-owner \(proxyUser) -j RETURN",
      // What a pod says to itself is its own business.
      "-m addrtype --dst-type LOCAL -j RETURN",
    ]
    rules += addresses(family).map { "-d \($0) -p tcp -m tcp --dport 53 -j RETURN" }
    rules.append("-p tcp -j REDIRECT --to-ports \(outboundPort)")
    return rules
  }

  // MARK: filter: what may pass

  private func input(_ family: IPFamily) -> [String] {
    let mark = "-j CONNMARK --set-xmark \(Self.proxyMark)/0xffffffff"
    let redirected = "-p tcp -m tcp --dport \(inboundPort) -m conntrack --ctstate DNAT"
    var rules = [
      "-i lo -j RETURN",
      // The listener's port itself is closed; it takes what was meant for another one.
      "\(redirected) \(mark)", "\(redirected) -j RETURN",
      "-p tcp -m connmark --mark \(Self.proxyMark) -j RETURN",
    ]
    rules += probes
    for address in addresses(family) {
      for kind in ["udp", "tcp"] {
        rules.append("-s \(address) -p \(kind) -m \(kind) --sport 53 -m conntrack --ctstate ESTABLISHED -j RETURN")
      }
    }
    rules.append(Self.relatedErrors(family))
    if family == .ipv6 {
      // Advertisements, solicitations and redirects count only when no router handed them on (RFC 4861).
      for type in [134, 135, 136] {
        rules.append("-p ipv6-icmp -m icmp6 --icmpv6-type \(type) -m hl --hl-eq 255 -j RETURN")
      }
      rules.append("-p ipv6-icmp -m icmp6 --icmpv6-type 130 -j RETURN")
    }
    rules.append("-j DROP")
    return rules
  }

  private func output(_ family: IPFamily) -> [String] {
    let isProxy = "-m owner --uid-owner \(proxyUser)"
    let loopback = family == .ipv4 ? "127.0.0.1/32" : "::1/128"
    var rules: [String] = []
    // An app reaches the sidecar's ports by being redirected, and never on its own.
    for port in [inboundPort, outboundPort] {
      rules.append(
        "-p tcp -m tcp --dport \(port) -m addrtype --dst-type LOCAL -m conntrack ! --ctstate DNAT "
          + "-m owner ! --uid-owner \(proxyUser) -j REJECT --reject-with tcp-reset")
    }
    rules += [
      "-o lo -j RETURN",
      // A redirected packet still carries the interface it was first routed to here.
      "-d \(loopback) -p tcp -m tcp --dport \(outboundPort) -m conntrack --ctstate DNAT -j RETURN",
      "-p tcp \(isProxy) -j CONNMARK --set-xmark \(Self.proxyMark)/0xffffffff",
      "-p tcp \(isProxy) -j RETURN",
      // The last packets of a connection have no socket and so no user. An app's packets have one, even when it takes
      // over the ports of a connection that the sidecar had.
      "-p tcp -m connmark --mark \(Self.proxyMark) -m owner ! --socket-exists -j RETURN",
    ]
    for address in addresses(family) {
      rules += ["udp", "tcp"].map { "-d \(address) -p \($0) -m \($0) --dport 53 -j RETURN" }
    }
    rules.append(Self.relatedErrors(family))
    if family == .ipv6 {
      // Router and neighbour discovery, and reports of multicast groups; an app without CAP_NET_RAW can send none.
      for type in [133, 135, 136, 131, 132, 143] {
        rules.append("-p ipv6-icmp -m icmp6 --icmpv6-type \(type) -j RETURN")
      }
    }
    rules += [
      "-p tcp -j REJECT --reject-with tcp-reset",
      // QUIC falls back to TCP at once.
      "-p udp -j REJECT --reject-with \(family == .ipv4 ? "icmp-port-unreachable" : "icmp6-port-unreachable")",
      "-j DROP",
    ]
    return rules
  }

  /// Errors about connections that are allowed, such as a packet being too big.
  private static func relatedErrors(_ family: IPFamily) -> String {
    "-p \(family == .ipv4 ? "icmp" : "ipv6-icmp") -m conntrack --ctstate RELATED -j RETURN"
  }

  // MARK: mangle: what leaves

  /// A socket bound to an interface takes a redirected packet out there, with the loopback address for destination.
  private func leaving(_ family: IPFamily) -> [String] {
    ["-d \(family == .ipv4 ? "127.0.0.0/8" : "::1/128") ! -o lo -j DROP"]
  }

  private func addresses(_ family: IPFamily) -> [String] {
    resolvers.filter { $0.family == family }.map { "\($0)/\(family == .ipv4 ? 32 : 128)" }
  }
}
