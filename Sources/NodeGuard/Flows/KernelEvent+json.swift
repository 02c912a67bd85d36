public import CASACore

extension KernelEvent {
  /// How reports name what lives below a guarded cgroup and is no workload; no workload can have such a name.
  public static let unnamedWorkload = "(unnamed)"

  /// The report to the runtime (`POST /trace/events`); nil for what is not reported.
  public func json(in policy: NodePolicy, clock: BootClock) -> JSONValue? {
    guard kind != .admitted, kind != .cgroup else { return nil }
    let known = policy[workload]
    var members: [String: JSONValue] = [
      "kind": .string(kind.description),
      "id": .string(id(boot: clock.boot)),
      "at": .number(Double(clock.timestamp(at).milliseconds)),
      "workload": .string(known?.name ?? (workload == .unnamed ? Self.unnamedWorkload : "(\(workload))")),
    ]
    members["app_id"] = known?.appID.map { .string($0.rawValue) }
    members["flow"] = flow.map { .string(String($0)) }
    members["direction"] = direction.map { .string($0.description) }
    members["protocol"] = protocolName.map(JSONValue.string)
    members["local"] = local.map { .string($0.description) }
    members["remote"] = remote.map { .string($0.description) }
    members["peer_app_id"] = remote.flatMap { policy.app(at: $0.address) }.map { .string($0.rawValue) }
    members["reason"] = reason.map { .string($0.description) }
    members["rule"] = rule.map { .number(Double($0)) }
    members["hook"] = hook.map { .string($0.description) }
    if isObserved { members["observed_only"] = true }
    if suppressed > 0 { members["suppressed"] = .number(count: suppressed) }
    if kind == .closed {
      members["bytes_out"] = .number(count: bytesOut)
      members["bytes_in"] = .number(count: bytesIn)
      members["packets_out"] = .number(count: packetsOut)
      members["packets_in"] = .number(count: packetsIn)
      members["duration_ms"] = .number(count: duration / 1_000_000)
    }
    if let token {
      members["token_sha256"] = .string(token.text)
      members["method"] = method.isEmpty ? nil : .string(method)
      members["path"] = path.isEmpty ? nil : .string(path)
    }
    return .object(members)
  }

  private var protocolName: String? {
    switch protocolNumber {
    case 0: nil
    case 1: "icmp"
    case 58: "icmpv6"
    default: TransportProtocol(rawValue: protocolNumber)?.description ?? "ip-\(protocolNumber)"
    }
  }
}

extension JSONValue {
  /// At most 2^53 - 1, since JSON's readers agree on no more.
  static func number(count: UInt64) -> JSONValue { .number(Double(min(count, 9_007_199_254_740_991))) }
}
