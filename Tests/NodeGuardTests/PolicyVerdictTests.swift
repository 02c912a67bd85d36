import CNodeGuard
import SeededRandom
import Testing

@testable import NodeGuard

@Suite("What a policy says of an address")
struct PolicyVerdictTests {
  private let policy: NodePolicy
  private let agent: WorkloadPolicy

  init() throws {
    policy = try NodePolicy(parsing: Array(fullPolicy.utf8))
    agent = try #require(policy.workload(named: "agent"))
  }

  private func verdict(
    _ address: String, _ transport: TransportProtocol = .tcp, _ direction: FlowDirection = .outbound,
    of workload: WorkloadPolicy? = nil, admitted: Set<NetworkAddress>? = nil
  ) throws -> PolicyVerdict {
    let remote = try #require(SocketAddress(address))
    return PolicyVerdict(
      of: workload ?? agent, in: policy, direction, transport, remote: remote.address, port: remote.port,
      admitted: admitted)
  }

  @Test("names the rule, the resolver, the proxy or the LLM")
  func explained() throws {
    #expect(
      try verdict("10.1.2.3:8443").description == "allowed by rule 2: outbound tcp to bank, ports 8443, 9000-9010")
    #expect(try verdict("10.9.9.9:8080").description.hasPrefix("allowed by rule 1"))
    #expect(try verdict("[::ffff:10.9.9.9]:8080").description.hasPrefix("allowed by rule 1"))
    #expect(try verdict("10.96.0.10:53", .udp).outcome == .resolver)
    #expect(try verdict("10.96.0.10:53", .tcp).outcome == .denied(.dnsTCP))
    #expect(try verdict("8.8.8.8:53", .udp).outcome == .denied(.noRule))
    #expect(try verdict("127.0.0.1:15001").reason == .byProxy)
    #expect(try verdict("10.1.2.3:1").description.contains("passes only where the packet filter leads it to the proxy"))
    #expect(try !verdict("10.1.2.3:1").isAllowed)
    #expect(try verdict("10.1.2.3:8443", .udp).description == "denied (no_rule): no rule permits it")
    #expect(try verdict("192.0.2.1:8080", .tcp, .inbound).description.hasPrefix("allowed by rule 3"))
    #expect(try verdict("192.0.2.1:8081", .tcp, .inbound).outcome == .denied(.noRule))
    #expect(try verdict("192.0.2.1:5000", .udp, .inbound, of: policy.workloads[1]).outcome == .denied(.noRule))
    #expect(try verdict("10.0.2.1:5001", .udp, .inbound, of: policy.workloads[1]).isAllowed)
  }

  @Test("knows the LLM by the addresses that its name has")
  func llm() throws {
    let address = try #require(NetworkAddress("192.0.2.7"))
    #expect(try !verdict("192.0.2.7:443").isAllowed)
    #expect(try verdict("192.0.2.7:443").description.contains("only while the resolver's answers give the LLM's name"))
    #expect(try verdict("192.0.2.7:443", admitted: [address]).isAllowed)
    #expect(try verdict("192.0.2.8:443", admitted: [address]).reason == .noRule)
    #expect(try verdict("192.0.2.7:443", .udp, admitted: [address]).outcome == .denied(.noRule))
  }

  @Test("says when a policy only observes")
  func observed() throws {
    let text = "workloads: [{name: a, cgroup: /a, observe: true}]"
    let policy = try NodePolicy(parsing: Array(text.utf8))
    let verdict = try PolicyVerdict(
      of: policy.workloads[0], in: policy, .outbound, .tcp, remote: #require(NetworkAddress("10.0.0.1")), port: 80)
    #expect(verdict.description.hasPrefix("would be denied, and is only reported"))
  }

  /// The kernel's own search (bpf/verdict.h) over the kernel's own value.
  private func kernelRule(
    _ value: casa_policy, _ remote: NetworkAddress, _ port: UInt16, _ direction: FlowDirection,
    _ transport: TransportProtocol
  ) -> UInt16 {
    let rulesOfPort = withUnsafeBytes(of: value.rules_of_port) { $0.bindMemory(to: UInt64.self)[Int(port) & 63] }
    return KernelValueTests.rules(value).enumerated().first { index, rule in
      rulesOfPort & 1 << UInt64(index) != 0
        && NetworkAddress(rule.address).bits == remote.bits & NetworkAddress(rule.mask).bits
        && rule.direction == direction.rawValue && rule.protocol == transport.rawValue
        && (rule.first_port...rule.last_port).contains(port)
    }?.element.number ?? 0
  }

  @Test("finds the rule that the kernel finds")
  func sameAsKernel() throws {
    var generator = SeededGenerator(seed: 3)
    var found = 0
    for _ in 0..<300 {
      func address() -> UInt128 {
        Bool.random(using: &generator)
          ? NetworkAddress.firstIPv4.bits | UInt128(10 << 24 | UInt32.random(in: 0..<8, using: &generator) << 16)
          : UInt128(0xFD) << 120 | UInt128(UInt32.random(in: 0..<8, using: &generator))
      }
      func rule(_ key: String) -> String {
        let bits = address()
        let address = NetworkAddress(bits: bits)
        let length =
          address.isIPv4 ? Int.random(in: 8...32, using: &generator) : Int.random(in: 8...128, using: &generator)
        let network = NetworkAddress(bits: bits & AddressPrefix.mask(address.isIPv4 ? length + 96 : length))
        let first = Int.random(in: 60...70, using: &generator)
        let transport = Bool.random(using: &generator) ? "tcp" : "udp"
        return
          "{\(key): \"\(network)/\(length)\", protocol: \(transport), ports: \(first)-\(first + Int.random(in: 0...3, using: &generator))}"
      }
      let text = """
        workloads:
        - name: a
          cgroup: /a
          outbound: [\((0..<4).map { _ in rule("to") }.joined(separator: ", "))]
          inbound: [\((0..<4).map { _ in rule("from") }.joined(separator: ", "))]
        """
      let policy = try NodePolicy(parsing: Array(text.utf8))
      let value = policy.workloads[0].compiled
      for _ in 0..<100 {
        let remote = NetworkAddress(bits: address())
        let port = UInt16.random(in: 58...75, using: &generator)
        let direction = Bool.random(using: &generator) ? FlowDirection.outbound : .inbound
        let transport = Bool.random(using: &generator) ? TransportProtocol.tcp : .udp
        let verdict = PolicyVerdict(
          of: policy.workloads[0], in: policy, direction, transport, remote: remote, port: port)
        let number = kernelRule(value, remote, port, direction, transport)
        if case .rule(let rule) = verdict.outcome {
          #expect(rule.number == number)
          found += 1
        } else {
          #expect(number == 0)
        }
      }
    }
    #expect(found > 1000)
  }
}
