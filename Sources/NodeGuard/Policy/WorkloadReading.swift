import CASACore
import CNodeGuard

/// Reads the workloads of a policy, one after the other: what none may have in common with another is kept.
struct WorkloadReading {
  let endpoints: [String: [AddressPrefix]]
  let resolvers: [NetworkAddress]
  let resolverPort: UInt16
  private var ids: [WorkloadID: String] = [:]
  private var selectors: [CgroupSelector: String] = [:]
  private var nameCount = 0

  init(endpoints: [String: [AddressPrefix]], resolvers: [NetworkAddress], resolverPort: UInt16) {
    self.endpoints = endpoints
    self.resolvers = resolvers
    self.resolverPort = resolverPort
  }

  private static let known = [
    "name", "app_id", "cgroup", "pod", "proxy", "llm", "resolve", "outbound", "inbound", "bind", "observe",
  ]

  /// - Throws: `PolicyError`
  mutating func read(_ value: PolicyValue, _ index: Int) throws(PolicyError) -> WorkloadPolicy {
    let fields = try PolicyMapping(value, known: Self.known)
    let name = try fields.required("name", "the workload's name") { (value) throws(PolicyError) in
      try value.scalar("1 to 63 of a-z 0-9 -, or namespace/pod/container of a-z 0-9 . - (at most 253)", Self.name)
    }
    let id = WorkloadID(name: name)
    guard !id.isReserved else { throw PolicyError("the name's number is reserved; choose another name") }
    if let other = ids.updateValue(name, forKey: id) {
      throw PolicyError(
        other == name
          ? "expected each name once, got `\(name)` again"
          : "`\(name)` and `\(other)` have the same number; choose another name")
    }
    let selector = try selector(fields)
    if let other = selectors.updateValue(name, forKey: selector) {
      throw PolicyError("expected one workload for each cgroup, got \(selector) for `\(other)` and for `\(name)`")
    }
    let llm = try fields.optional("llm", llm)
    let resolvable = try fields.optional("resolve") { (value) throws(PolicyError) in
      var seen: Set<NamePattern> = []
      return try value.list(limit: Int(CASA_MAX_NAMES)) { (value, _) throws(PolicyError) in
        let pattern = try value.parsed("a host's full name, or *. and one", NamePattern.init(parsing:))
        guard seen.insert(pattern).inserted else { throw PolicyError("expected each name once, got \(pattern) again") }
        return pattern
      }
    }
    nameCount += (resolvable?.count ?? 0) + (llm == nil ? 0 : 1)
    guard nameCount <= Int(CASA_MAX_NAMES) else {
      throw PolicyError("expected at most \(CASA_MAX_NAMES) names in all, got more up to here; use *. patterns")
    }
    guard !resolvers.isEmpty || (llm == nil && resolvable?.isEmpty != false) else {
      throw PolicyError("expected `resolvers` at the top, since `llm` and `resolve` name hosts that must be asked for")
    }
    var rules: [PolicyRule] = []
    for (direction, key) in [(FlowDirection.outbound, "outbound"), (.inbound, "inbound")] {
      let first = rules.count + 1
      rules +=
        try fields.optional(key) { (value) throws(PolicyError) in
          try value.list(limit: Int(CASA_MAX_RULES)) { (value, index) throws(PolicyError) in
            try rule(value, direction, number: UInt16(first + index))
          }
        } ?? []
    }
    let count = rules.reduce(0) { $0 + $1.kernelRules }
    guard count <= Int(CASA_MAX_RULES) else {
      throw PolicyError(
        "expected at most \(CASA_MAX_RULES) rules, counting each address of an endpoint with each range of ports, got"
          + " \(count)")
    }
    return WorkloadPolicy(
      name: name, id: id, appID: try fields.optional("app_id", NodePolicy.appID), selector: selector,
      proxy: try fields.optional("proxy", proxy), llm: llm, resolvable: resolvable ?? [], rules: rules,
      bindsAnyPort: try fields.optional("bind") { (value) throws(PolicyError) in
        try value.scalar("`any`") { $0 == "any" ? true : nil }
      } ?? false,
      isObserved: try fields.optional("observe", Self.flag) ?? false)
  }

  private static func name(_ text: String) -> String? {
    if Name(text) != nil { return text }
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard parts.count == 3, text.utf8.count <= 253,
      parts.allSatisfy({ part in
        !part.isEmpty
          && part.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
              UInt8(ascii: "-"):
              true
            default: false
            }
          }
      })
    else { return nil }
    return text
  }

  private static func flag(_ value: PolicyValue) throws(PolicyError) -> Bool {
    try value.scalar("true or false") { $0 == "true" ? true : $0 == "false" ? false : nil }
  }

  private func selector(_ fields: PolicyMapping) throws(PolicyError) -> CgroupSelector {
    let path = try fields.optional("cgroup") { (value) throws(PolicyError) in
      try value.parsed("a cgroup's path", CgroupPath.init(parsing:))
    }
    let pod = try fields.optional("pod") { (value) throws(PolicyError) in
      let fields = try PolicyMapping(value, known: ["namespace", "name", "uid", "container"])
      func text(_ key: String, isGlob: Bool = false) throws(PolicyError) -> String? {
        try fields.optional(key) { (value) throws(PolicyError) in
          try value.scalar(isGlob ? "a name, in which * and ? stand for others" : "a name of a-z 0-9 . -") { text in
            let others = isGlob ? ".-*?" : ".-"
            let isName =
              (1...253).contains(text.utf8.count)
              && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (0x30...0x39).contains(byte)
                  || others.utf8.contains(byte)
              }
            return isName ? text : nil
          }
        }
      }
      return try PodSelector(
        namespace: try text("namespace"), name: try text("name", isGlob: true), uid: try text("uid"),
        container: try text("container"))
    }
    switch (path, pod) {
    case (let path?, nil): return .path(path)
    case (nil, let pod?): return .pod(pod)
    default: throw PolicyError("expected either `cgroup` or `pod`, got \(path == nil ? "neither" : "both")")
    }
  }

  private func proxy(_ value: PolicyValue) throws(PolicyError) -> SocketAddress {
    let address = try value.scalar("an IP address and a port, such as 127.0.0.1:15001") { SocketAddress($0) }
    guard address.port != 53 else { throw PolicyError("expected another port than 53, which is for DNS") }
    return address
  }

  private func llm(_ value: PolicyValue) throws(PolicyError) -> WorkloadPolicy.LLM {
    let fields = try PolicyMapping(value, known: ["host", "port", "tls"])
    let port = try fields.optional("port", NodePolicy.port) ?? 443
    guard port != 53 else { throw PolicyError("expected another port than 53, which is for DNS") }
    return WorkloadPolicy.LLM(
      host: try fields.required("host", "the LLM's host name") { (value) throws(PolicyError) in
        try value.parsed("a host's full name", HostName.init(parsing:))
      },
      port: port, usesTLS: try fields.optional("tls", Self.flag) ?? true)
  }

  private func rule(
    _ value: PolicyValue, _ direction: FlowDirection, number: UInt16
  ) throws(PolicyError) -> PolicyRule {
    let peerKey = direction == .outbound ? "to" : "from"
    let fields = try PolicyMapping(value, known: [peerKey, "protocol", "ports"])
    let (peer, prefixes) = try fields.required(peerKey, "an address, a prefix, an endpoint's name or `any`") {
      (value) throws(PolicyError) in
      try value.parsed("an address, a prefix, an endpoint's name or `any`") { (text) throws(PolicyError) in
        (text, try self.prefixes(text))
      }
    }
    let transport = try fields.optional("protocol") { (value) throws(PolicyError) in
      try value.scalar("tcp or udp") { TransportProtocol($0) }
    }
    let ports = try fields.required("ports", "a port, a range such as 8000-8010, or a list of these") {
      (value) throws(PolicyError) in
      let read = { (value: PolicyValue) throws(PolicyError) in
        try value.scalar("a port from 1 to 65535 or a range such as 8000-8010") { PortRange($0) }
      }
      guard value.elements != nil else { return [try read(value)] }
      let ports = try value.list(limit: Int(CASA_MAX_RULES)) { (value, _) throws(PolicyError) in try read(value) }
      guard !ports.isEmpty else { throw PolicyError("expected at least one port") }
      return ports
    }
    if direction == .outbound { try refuseDNS(ports, prefixes) }
    return PolicyRule(
      number: number, direction: direction, transport: transport ?? .tcp, peer: peer, prefixes: prefixes, ports: ports)
  }

  private func prefixes(_ text: String) throws(PolicyError) -> [AddressPrefix] {
    if text == "any" { return [.any] }
    if let addresses = endpoints[text] { return addresses }
    guard Name(text) == nil else {
      throw PolicyError("expected the name of one of `endpoints`, got `\(text)`, which is none of them")
    }
    return [try AddressPrefix(parsing: text)]
  }

  /// DNS passes by name only.
  private func refuseDNS(_ ports: [PortRange], _ prefixes: [AddressPrefix]) throws(PolicyError) {
    if let range = ports.first(where: { $0.contains(53) }) {
      let hint = range.first == range.last ? "name hosts in `resolve`" : "write 1-52 or 54-65535, or parts of these"
      throw PolicyError("expected ports without 53, since DNS passes by name only, got \(range); \(hint)")
    }
    guard ports.contains(where: { $0.contains(resolverPort) }) else { return }
    if let resolver = resolvers.first(where: { resolver in prefixes.contains { $0.contains(resolver) } }) {
      throw PolicyError(
        "expected a rule without \(SocketAddress(resolver, port: resolverPort)), since DNS passes by name only; name"
          + " hosts in `resolve`")
    }
  }
}
