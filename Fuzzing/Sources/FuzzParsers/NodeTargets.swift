import AgentProtocols
import CASACore
import CNodeGuard
import NodeGuard

/// Reads the input as a node's policy, and has the kernel's values made of it.
@Sendable func fuzzNodePolicy(_ bytes: [UInt8]) {
  guard let policy = try? NodePolicy(parsing: bytes) else { return }
  require((try? NodePolicy(parsing: bytes)) == policy, "a policy is read the same each time")
  require(policy.resolvers.count <= Int(CASA_MAX_RESOLVERS), "resolvers are bounded")
  require(policy.settings(identities: 1).resolver_count == UInt32(policy.resolvers.count), "each resolver is there")
  require(Set(policy.workloads.map(\.id)).count == policy.workloads.count, "each workload has its number")
  for workload in policy.workloads {
    require(policy[workload.id] == workload, "a workload is found by its number")
    let value = workload.compiled
    require(value.generation != 0, "a policy has a generation")
    require((value.llm == 0) == (workload.llm == nil), "the LLM has a number")
    require(Int(value.rule_count) <= Int(CASA_MAX_RULES), "rules are bounded")
    require(Int(value.rule_count) == workload.rules.reduce(0) { $0 + $1.kernelRules }, "no rule is cut")
    for rule in workload.rules {
      for ports in rule.ports {
        require(0 < ports.first && ports.first <= ports.last, "ports are a range")
        require(rule.direction == .inbound || !ports.contains(53), "DNS passes by name only")
      }
      for prefix in rule.prefixes {
        require(prefix.contains(prefix.address), "no bits stand behind a prefix")
        require((try? AddressPrefix(parsing: prefix.description)) == prefix || prefix == .any, "a prefix reads back")
      }
    }
    for (key, use) in workload.compiledNames {
      require(key.bits >= 8 * 8 && Int(key.bits) <= 8 * (8 + Int(CASA_MAX_NAME) - 2), "a name fits its key")
      require((1...2).contains(use), "a name has a use")
    }
    let remote = policy.resolvers.first ?? NetworkAddress(bits: 0xFFFF_0A00_0001)
    for port in [53, policy.resolverPort, 443] {
      let verdict = PolicyVerdict(of: workload, in: policy, .outbound, .tcp, remote: remote, port: port)
      require(port != 53 || !verdict.isAllowed, "there is no DNS over TCP")
      let query = PolicyVerdict(of: workload, in: policy, .outbound, .udp, remote: remote, port: port)
      if port == policy.resolverPort, !policy.resolvers.isEmpty { require(query.outcome == .resolver, "DNS is DNS") }
    }
  }
}

/// Reads the input as an event of the kernel, as it is and cut or filled up to the right length.
@Sendable func fuzzKernelEvent(_ bytes: [UInt8]) {
  let length = MemoryLayout<casa_event>.size
  let filled = Array((bytes + [UInt8](repeating: 0, count: length)).prefix(length))
  let clock = BootClock(bootID: "0123456789", started: Timestamp(milliseconds: 0))
  guard let policy = try? NodePolicy(parsing: Array("workloads: []".utf8)) else {
    require(false, "an empty policy is one")
    return
  }
  for bytes in [bytes, filled] {
    guard let event = bytes.withUnsafeBytes({ try? KernelEvent(decoding: $0) }) else { continue }
    require(bytes.count == length, "another length is no event")
    guard let json = event.json(in: policy, clock: clock) else {
      require([.admitted, .cgroup].contains(event.kind), "every other event is reported")
      continue
    }
    let text = json.canonicalBytes
    require((try? JSONValue(parsing: text)) == json, "a report reads back")
    require(text.allSatisfy { (0x20...0x7E).contains($0) }, "a report is one line of printable ASCII")
    require(text.count <= 2048, "a report is bounded")
    require((1...100).contains(json["id"]?.string?.utf8.count ?? 0), "a report has a name")
    require((json["token_sha256"] == nil) == (event.kind != .token), "a token has its hash")
  }
}
