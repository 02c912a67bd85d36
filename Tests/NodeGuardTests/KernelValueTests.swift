import CNodeGuard
import Crypto
import Testing

@testable import NodeGuard

@Suite("A policy as the kernel holds it")
struct KernelValueTests {
  private let policy: NodePolicy
  private let agent: WorkloadPolicy

  init() throws {
    policy = try NodePolicy(parsing: Array(fullPolicy.utf8))
    agent = try #require(policy.workload(named: "agent"))
  }

  @Test("a workload's number is the first bytes of its name's hash")
  func numbers() {
    let digest = SHA256.hash(data: Array("agent".utf8)).map { $0 }
    #expect(agent.id.rawValue == digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    #expect(agent.id.description.count == 16)
  }

  @Test("no structure has holes that would hold anything but zeros")
  func layout() {
    #expect(MemoryLayout<casa_rule>.size == 40 && MemoryLayout<casa_rule>.stride == 40)
    #expect(MemoryLayout<casa_policy>.size == 48 + 8 * Int(CASA_PORT_CLASSES) + 40 * Int(CASA_MAX_RULES))
    #expect(MemoryLayout<casa_name_key>.size == 4 + 8 + Int(CASA_MAX_NAME) - 2)
  }

  @Test("rules are those of the file, one for each address and range of ports")
  func rules() throws {
    let value = agent.compiled
    #expect(value.rule_count == 6)
    #expect(value.flags == UInt32(CASA_LLM_TLS | CASA_BIND_ANY))
    #expect(value.llm != 0 && value.llm_port == 443)
    #expect(value.proxy_port == 15001 && NetworkAddress(value.proxy).description == "127.0.0.1")
    let rules = Self.rules(value)
    #expect(rules.map(\.number) == [1, 2, 2, 2, 2, 3])
    #expect(
      rules.map { NetworkAddress($0.address).description } == [
        "10.0.0.0", "10.1.2.3", "10.1.2.3", "fd00::3", "fd00::3", "::",
      ])
    #expect(NetworkAddress(rules[0].mask).bits == ~0 << 24)
    #expect(NetworkAddress(rules[1].mask).bits == ~0)
    #expect(NetworkAddress(rules[5].mask).bits == 0)
    #expect(rules.map(\.first_port) == [8080, 8443, 9000, 8443, 9000, 8080])
    #expect(rules.map(\.last_port) == [8080, 8443, 9010, 8443, 9010, 8080])
    #expect(rules.map(\.direction) == [1, 1, 1, 1, 1, 2])
    #expect(rules.allSatisfy { $0.protocol == 6 })
  }

  @Test("each port leads to the rules that have it, and to few others")
  func portClasses() throws {
    let text = """
      workloads:
      - name: a
        cgroup: /a
        outbound:
        - {to: 10.0.0.1, ports: 64}
        - {to: 10.0.0.1, ports: 62-65}
        - {to: 10.0.0.1, ports: 100-163}
        - {to: 10.0.0.1, ports: 54-65535}
        - {to: 10.0.0.1, ports: 65535}
      """
    let value = try NodePolicy(parsing: Array(text.utf8)).workloads[0].compiled
    let classes = withUnsafeBytes(of: value.rules_of_port) { Array($0.bindMemory(to: UInt64.self)) }
    #expect(classes.count == 64)
    for (index, rule) in Self.rules(value).enumerated() {
      for port in rule.first_port...rule.last_port { #expect(classes[Int(port) & 63] & 1 << UInt64(index) != 0) }
    }
    #expect(classes[0] == 0b01111 && classes[1] == 0b01110 && classes[2] == 0b01100)
    #expect(classes[62] == 0b01110 && classes[63] == 0b11110)
  }

  static func rules(_ value: casa_policy) -> [casa_rule] {
    withUnsafeBytes(of: value.rules) { Array($0.bindMemory(to: casa_rule.self).prefix(Int(value.rule_count))) }
  }

  @Test("the generation is the same for the same policy, and another for any other")
  func generations() throws {
    func generation(_ piece: String, _ replacement: String) throws -> UInt64 {
      let text = fullPolicy.replacing(piece, with: replacement, maxReplacements: 1)
      return try #require(NodePolicy(parsing: Array(text.utf8)).workload(named: "agent")).compiled.generation
    }
    let first = agent.compiled.generation
    #expect(first != 0)
    #expect(try generation("", "") == first)
    #expect(try generation("app_id: app_bank", "app_id: app_other") == first)
    for (piece, replacement) in [
      ("ports: 8080", "ports: 8081"), ("10.1.2.3", "10.1.2.5"), ("protocol: tcp", "protocol: udp"),
      ("bind: any\n", "\n"),
      ("observe: false", "observe: true"), ("API.openai.com", "api.example.com"),
      ("127.0.0.1:15001", "127.0.0.1:15002"),
      ("{host: API.openai.com}", "{host: api.openai.com, tls: false}"),
    ] {
      #expect(try generation(piece, replacement) != first, "\(replacement)")
    }
  }

  @Test("the LLM's number changes with its host and port alone")
  func llmNumbers() throws {
    func number(_ llm: String) throws -> UInt64 {
      let text = fullPolicy.replacing("{host: API.openai.com}", with: llm).replacing("15001", with: "15002")
      return try #require(NodePolicy(parsing: Array(text.utf8)).workload(named: "agent")).compiled.llm
    }
    let first = agent.compiled.llm
    #expect(try number("{host: api.openai.com, port: 443, tls: false}") == first)
    #expect(try number("{host: api.openai.com, port: 444}") != first)
    #expect(try number("{host: api.openai.org}") != first)
    #expect(policy.workloads[1].compiled.llm == 0)
  }

  private func backwards(_ labels: [String]) -> [UInt8] {
    labels.flatMap { label in label.utf8.reversed() + [UInt8(label.utf8.count)] }
  }

  @Test("names stand backwards behind the workload, exact ones with a zero at the end")
  func names() {
    let names = agent.compiledNames
    #expect(names.map(\.use) == [1, 1, 2])
    let ends = [
      backwards(["local", "cluster", "svc", "shop", "bank"]) + [0], backwards(["local", "cluster", "svc"]),
      backwards(["com", "openai", "api"]) + [0],
    ]
    for (name, end) in zip(names, ends) {
      #expect(name.key.bits == UInt32(8 * (8 + end.count)))
      let workload = withUnsafeBytes(of: name.key.workload) { Array($0) }
      #expect(workload.reduce(0) { $0 << 8 | UInt64($1) } == agent.id.rawValue)
      let backwards = withUnsafeBytes(of: name.key.backwards) { Array($0) }
      #expect(Array(backwards.prefix(end.count)) == end)
      #expect(backwards.dropFirst(end.count).allSatisfy { $0 == 0 })
    }
  }

  @Test("the LLM's name is there once, even when it may be resolved anyway")
  func llmNameOnce() throws {
    let text = fullPolicy.replacing("resolve: [bank.shop.svc.cluster.local,", with: "resolve: [api.openai.com,")
    let agent = try #require(NodePolicy(parsing: Array(text.utf8)).workload(named: "agent"))
    #expect(agent.compiledNames.map(\.use) == [1, 2])
  }

  /// What the kernel's map finds: the use of the longest key that the name begins with, as dns.h asks.
  private func use(of name: [UInt8], _ workload: WorkloadPolicy) -> UInt32? {
    let asked = Array(name.reversed()) + [0]
    return workload.compiledNames.filter { key, _ in
      let count = Int(key.bits) / 8 - 8
      return withUnsafeBytes(of: key.backwards) { asked.starts(with: $0.prefix(count)) }
    }.max { $0.key.bits < $1.key.bits }?.use
  }

  @Test("the longest key that a question begins with says what the policy says")
  func questions() throws {
    for (name, expected) in [
      ("api.openai.com", 2), ("openai.com", nil), ("x.api.openai.com", nil), ("xapi.openai.com", nil),
      ("bank.shop.svc.cluster.local", 1), ("a.b.svc.cluster.local", 1), ("evilsvc.cluster.local", nil),
      ("cluster.local", nil), ("example.com", nil),
    ] as [(String, UInt32?)] {
      #expect(use(of: try HostName(parsing: name).wireForm, agent) == expected, "\(name)")
    }
  }

  @Test("the LLM's name for TLS is the name in lower case")
  func llmName() throws {
    let name = try #require(agent.compiledLLMName)
    #expect(name.length == 14)
    #expect(withUnsafeBytes(of: name.text) { String(decoding: $0.prefix(14), as: UTF8.self) } == "api.openai.com")
    #expect(policy.workloads[1].compiledLLMName == nil)
  }

  @Test("settings name the resolvers")
  func settings() {
    let settings = policy.settings(identities: 7, shortestAdmission: .seconds(30), longestAdmission: .seconds(1))
    #expect(settings.abi == UInt32(CASA_KERNEL_ABI))
    #expect(settings.resolver_count == 2 && settings.resolver_port == 53)
    #expect(NetworkAddress(settings.resolvers.0).description == "10.96.0.10")
    #expect(NetworkAddress(settings.resolvers.1).description == "fd00::a")
    #expect(settings.ttl_floor_ns == 30_000_000_000 && settings.ttl_ceiling_ns == 30_000_000_000)
    #expect(settings.hash_tokens == 1 && settings.identities == 7 && settings.events_per_second == 1000)
    #expect(policy.settings(identities: 0, longestAdmission: .seconds(Int64.max)).ttl_ceiling_ns == UInt64(Int64.max))
  }
}
