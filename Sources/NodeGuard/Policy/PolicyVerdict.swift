/// What the kernel will say to a packet of a workload, and by what; decided in the same order.
public struct PolicyVerdict: Sendable, Hashable {
  public enum Outcome: Sendable, Hashable {
    case rule(PolicyRule)
    /// For questions for the names that the policy lists.
    case resolver
    /// When `isAdmitted` is nil, it is allowed if the resolver's answers gave the LLM's name this address.
    case llm(WorkloadPolicy.LLM, isAdmitted: Bool?)
    case proxy(SocketAddress)
    /// It may be begun, and no packet may leave but those that the packet filter leads to the proxy.
    case onlyThroughProxy(SocketAddress)
    case denied(FlowReason)
  }

  public let outcome: Outcome
  /// Whether what is denied is only reported.
  public let isObserved: Bool

  /// - Parameters:
  ///   - remote: the peer.
  ///   - port: the peer's for `outbound`, the workload's own for `inbound`.
  ///   - admitted: the addresses that the LLM's name has now; nil when they are not known.
  public init(
    of workload: WorkloadPolicy, in policy: NodePolicy, _ direction: FlowDirection, _ transport: TransportProtocol,
    remote: NetworkAddress, port: UInt16, admitted: Set<NetworkAddress>? = nil
  ) {
    isObserved = workload.isObserved
    let rule = workload.rules.first { $0.permits(direction, transport, remote, port: port) }
    guard direction == .outbound else {
      outcome = rule.map(Outcome.rule) ?? .denied(.noRule)
      return
    }
    if transport == .udp, port == policy.resolverPort, policy.resolvers.contains(remote) {
      outcome = .resolver
    } else if port == 53 {
      outcome = .denied(transport == .tcp ? .dnsTCP : .noRule)
    } else if transport == .tcp, let proxy = workload.proxy, proxy == SocketAddress(remote, port: port) {
      outcome = .proxy(proxy)
    } else if let rule {
      outcome = .rule(rule)
    } else if transport == .tcp, let llm = workload.llm, llm.port == port, admitted?.contains(remote) != false {
      outcome = .llm(llm, isAdmitted: admitted?.contains(remote))
    } else if transport == .tcp, let proxy = workload.proxy {
      outcome = .onlyThroughProxy(proxy)
    } else {
      outcome = .denied(.noRule)
    }
  }

  /// Whether a packet as it was asked for leaves or enters, as far as that is known without asking the kernel.
  public var isAllowed: Bool {
    switch outcome {
    case .rule, .resolver, .proxy: true
    case .llm(_, let isAdmitted): isAdmitted == true
    case .onlyThroughProxy, .denied: false
    }
  }

  /// By what the kernel reports it.
  public var reason: FlowReason {
    switch outcome {
    case .rule: .byRule
    case .resolver: .byResolver
    case .llm: .byLLM
    case .proxy: .byProxy
    case .onlyThroughProxy: .noRule
    case .denied(let reason): reason
    }
  }
}

extension PolicyVerdict: CustomStringConvertible {
  /// One sentence for people.
  public var description: String {
    switch outcome {
    case .rule(let rule): "allowed by rule \(rule.number): \(rule)"
    case .resolver: "allowed for DNS: \(FlowReason.byResolver.explanation)"
    case .llm(let llm, let isAdmitted):
      isAdmitted == true
        ? "allowed as an address of the LLM \(llm)"
        : "allowed only while the resolver's answers give the LLM's name \(llm.host) this address"
    case .proxy(let proxy): "allowed as the workload's own proxy \(proxy)"
    case .onlyThroughProxy(let proxy):
      "denied directly (no rule permits it); it passes only where the packet filter leads it to the proxy \(proxy)"
    case .denied(let reason):
      isObserved
        ? "would be denied, and is only reported, since the policy observes: \(reason.explanation)"
        : "denied (\(reason)): \(reason.explanation)"
    }
  }
}
