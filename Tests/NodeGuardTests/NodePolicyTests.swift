import AgentProtocols
import CASACore
import CNodeGuard
import Foundation
import Testing

@testable import NodeGuard

/// A policy with everything that can be said.
let fullPolicy = """
  resolvers: [10.96.0.10, "fd00::a"]
  resolver_port: 53
  guarded: [/kubepods.slice]
  endpoints:
    bank: {addresses: [10.1.2.3, "fd00::3"], app_id: app_bank}
    store: {addresses: [10.1.2.4]}
  workloads:
    - name: agent
      app_id: app_agent
      cgroup: /casa/agent
      proxy: 127.0.0.1:15001
      llm: {host: API.openai.com}
      resolve: [bank.shop.svc.cluster.local, "*.svc.cluster.local"]
      outbound:
        - {to: 10.0.0.0/8, protocol: tcp, ports: 8080}
        - {to: bank, ports: [8443, "9000-9010"]}
      inbound:
        - {from: any, ports: 8080}
      bind: any
      observe: false
    - name: shop/bank-7/server
      pod: {namespace: shop, name: bank-*, container: server}
      inbound:
        - {from: 10.0.0.0/8, protocol: udp, ports: 5000-5001}
  """

@Suite("A node's policy")
struct NodePolicyTests {
  private func error(_ text: String) -> String? {
    do {
      _ = try NodePolicy(parsing: Array(text.utf8))
      return nil
    } catch {
      return error.description
    }
  }

  /// The error after one piece of the full policy was replaced.
  private func error(_ piece: String, with replacement: String) throws -> String {
    try #require(fullPolicy.contains(piece))
    return error(fullPolicy.replacing(piece, with: replacement, maxReplacements: 1)) ?? "none"
  }

  @Test("is read whole")
  func reads() throws {
    let policy = try NodePolicy(parsing: Array(fullPolicy.utf8))
    #expect(policy.resolvers.map(\.description) == ["10.96.0.10", "fd00::a"])
    #expect(policy.resolverPort == 53)
    #expect(policy.guarded.map(\.text) == ["/kubepods.slice"])
    #expect(Set(policy.endpoints.map(\.name.text)) == ["bank", "store"])
    #expect(try policy.app(at: #require(NetworkAddress("fd00::3"))) == AppID("app_bank"))
    #expect(try policy.app(at: #require(NetworkAddress("10.1.2.4"))) == nil)
    let agent = try #require(policy.workload(named: "agent"))
    #expect(policy[agent.id] == agent)
    #expect(agent.appID == AppID("app_agent"))
    #expect(agent.selector == .path(try CgroupPath(parsing: "/casa/agent")))
    #expect(agent.proxy?.description == "127.0.0.1:15001")
    #expect(agent.llm?.description == "api.openai.com:443")
    #expect(agent.llm?.usesTLS == true)
    #expect(agent.resolvable.map(\.description) == ["bank.shop.svc.cluster.local", "*.svc.cluster.local"])
    #expect(
      agent.rules.map(\.description) == [
        "outbound tcp to 10.0.0.0/8, ports 8080", "outbound tcp to bank, ports 8443, 9000-9010",
        "inbound tcp from any, ports 8080",
      ])
    #expect(agent.rules.map(\.number) == [1, 2, 3])
    #expect(agent.rules.map(\.kernelRules) == [1, 4, 1])
    #expect(agent.bindsAnyPort)
    #expect(!agent.isObserved)
    let bank = policy.workloads[1]
    #expect(
      bank.selector
        == .pod(try PodSelector(namespace: "shop", name: "bank-*", uid: nil, container: "server")))
    #expect(bank.rules.map(\.transport) == [.udp])
    #expect(bank.proxy == nil && bank.llm == nil && !bank.bindsAnyPort && bank.resolvable.isEmpty)
  }

  @Test("means the same in JSON")
  func json() throws {
    let json = """
      {"resolvers": ["10.96.0.10"], "endpoints": {"bank": {"addresses": ["10.1.2.3"]}}, "workloads": [
        {"name": "a", "cgroup": "/a", "llm": {"host": "a.example", "port": 8443, "tls": false},
         "outbound": [{"to": "bank", "ports": [80, "90-91"]}, {"to": "any", "ports": 443}], "observe": true}]}
      """
    let yaml = """
      resolvers: [10.96.0.10]
      endpoints: {bank: {addresses: [10.1.2.3]}}
      workloads:
      - {name: a, cgroup: /a, llm: {host: a.example, port: 8443, tls: false}, observe: true,
         outbound: [{to: bank, ports: [80, 90-91]}, {to: any, ports: 443}]}
      """
    #expect(try NodePolicy(parsing: Array(json.utf8)) == NodePolicy(parsing: Array(yaml.utf8)))
  }

  @Test("errors say the line, the path, what was expected and what came")
  func places() throws {
    #expect(
      try error("{to: 10.0.0.0/8, protocol: tcp, ports: 8080}", with: "{to: 10.0.0.0/8, protocol: tcp, ports: 0}")
        == "line 15, workloads[0].outbound[0].ports: expected a port from 1 to 65535 or a range such as 8000-8010, got `0`"
    )
    #expect(
      try error("proxy:", with: "prxy:").hasPrefix("line 11, workloads[0].prxy: this key is not known; known are name,")
    )
    #expect(try error("resolver_port", with: "resolver").hasPrefix("line 2, resolver: this key is not known"))
    #expect(
      error(#"{"workloads": [{"name": "a", "cgroup": "/a", "outbound": [{"to": "any", "prots": 1}]}]}"#)?
        .hasPrefix("workloads[0].outbound[0].prots: this key is not known; known are to, protocol, ports") == true)
    #expect(
      error("{\"workloads\":\n [}") == "line 2: it begins with { and is not JSON: this byte can't stand here (byte 16)")
  }

  @Test("refuses what the kernel would not enforce as it reads")
  func refusals() throws {
    for (piece, replacement, expected) in [
      (
        "{to: 10.0.0.0/8, protocol: tcp, ports: 8080}", "{to: 10.0.0.0/8, ports: 53}",
        "without 53, since DNS passes by name only"
      ),
      ("{to: 10.0.0.0/8, protocol: tcp, ports: 8080}", "{to: 10.0.0.0/8, ports: 1-100}", "write 1-52 or 54-65535"),
      ("resolver_port: 53", "resolver_port: 8080", "expected a rule without 10.96.0.10:8080"),
      ("shop/bank-7/server", "agent", "expected each name once, got `agent` again"),
      ("pod: {namespace: shop, name: bank-*, container: server}", "cgroup: /casa/agent", "for `agent` and for"),
      ("host: API.openai.com", "host: openai", "only one label"),
      ("host: API.openai.com", "host: 10.1.2.3", "reads like an IP address"),
      ("host: API.openai.com", "host: api_x.example.com", "letters, digits and hyphens"),
      ("host: API.openai.com", "host: api.example.com.", "final dot"),
      ("host: API.openai.com", "port: 1", "expected `host`"),
      ("host: API.openai.com", "host: a.b, port: 53", "another port than 53"),
      ("10.0.0.0/8, protocol", "10.1.0.0/8, protocol", "write 10.0.0.0/8"),
      ("10.0.0.0/8, protocol", "\"::ffff:10.0.0.0/104\", protocol", "write 10.0.0.0/8"),
      ("10.0.0.0/8, protocol", "\"fe80::1%eth0\", protocol", "no zone"),
      ("10.0.0.0/8, protocol", "\"::/0\", protocol", "write `any`"),
      ("10.0.0.0/8, protocol", "nobody, protocol", "the name of one of `endpoints`, got `nobody`"),
      ("protocol: tcp", "protocol: icmp", "expected tcp or udp"),
      ("cgroup: /casa/agent", "cgroup: casa/agent", "expected a cgroup's path"),
      ("cgroup: /casa/agent", "cgroup: /", "expected a cgroup's path"),
      ("cgroup: /casa/agent", "cgroup: /casa/../agent", "expected a cgroup's path"),
      ("cgroup: /casa/agent", "cgroup: /a/b/c/d/e/f/g/h/i/j/k/l/m", "at most 12 levels"),
      ("cgroup: /casa/agent", "bind: any\n      cgroup: /a", "not YAML"),
      ("    cgroup: /casa/agent\n", "", "expected either `cgroup` or `pod`, got neither"),
      ("cgroup: /casa/agent", "cgroup: /a\n    pod: {uid: a}", "got both"),
      (
        "pod: {namespace: shop, name: bank-*, container: server}", "pod: {name: x}",
        "expected `namespace` and `name`, or `uid`"
      ),
      ("name: agent", "name: Agent", "got `Agent`"),
      ("name: agent", "name: a/b", "got `a/b`"),
      ("name: agent", "name: a//b", "got `a//b`"),
      ("app_id: app_agent", "app_id: \"app agent\"", "the app's id"),
      ("resolvers: [10.96.0.10, \"fd00::a\"]", "resolvers: []", "expected `resolvers` at the top"),
      ("resolvers: [10.96.0.10, \"fd00::a\"]", "resolvers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5]", "at most 4"),
      ("resolvers: [10.96.0.10, \"fd00::a\"]", "resolvers: [dns.example]", "expected an IP address"),
      ("resolvers: [10.96.0.10, \"fd00::a\"]", "resolvers: [10.96.0.10/32]", "expected one IP address"),
      ("bind: any", "bind: all", "expected `any`, got `all`"),
      ("observe: false", "observe: no", "expected true or false, got `no`"),
      ("store: {addresses: [10.1.2.4]}", "store: {addresses: []}", "at least one address"),
      ("store: {addresses: [10.1.2.4]}", "store: {addresses: [10.1.2.3]}", "another endpoint of another app"),
      ("store: {addresses: [10.1.2.4]}", "any: {addresses: [10.1.2.4]}", "other than `any`"),
      ("bank.shop.svc.cluster.local, \"*.svc", "\"*.svc.cluster.local\", \"*.svc", "expected each name once"),
      ("proxy: 127.0.0.1:15001", "proxy: localhost:15001", "an IP address and a port"),
      ("proxy: 127.0.0.1:15001", "proxy: 127.0.0.1:53", "another port than 53"),
      ("proxy: 127.0.0.1:15001", "proxy:", "an IP address and a port"),
      ("name: agent", "name: agent\n    name: agent", "not YAML"),
    ] {
      let got = try error(piece, with: replacement)
      #expect(got.contains(expected), "\(replacement): \(got)")
    }
    for text in [
      "", "[]", "a", "{}", "null", "workloads: 3", "- a", "\u{FEFF}{}", "{\"workloads\": [], \"workloads\": []}",
    ] {
      #expect(error(text) != nil, "\(text)")
    }
    #expect(error("workloads: []") == nil)
  }

  @Test("has as many rules as the kernel takes, counting addresses and ranges of ports")
  func tooManyRules() throws {
    func policy(_ ports: Int, _ addresses: Int) -> String {
      let list = (0..<addresses).map { "10.0.0.\($0)" }.joined(separator: ", ")
      let ports = (0..<ports).map { String(8000 + 2 * $0) }.joined(separator: ", ")
      return """
        endpoints: {e: {addresses: [\(list)]}}
        workloads: [{name: a, cgroup: /a, outbound: [{to: e, ports: [\(ports)]}]}]
        """
    }
    #expect(error(policy(8, 8)) == nil)
    #expect(error(policy(5, 13))?.contains("expected at most 64 rules") == true)
    #expect(error(policy(5, 13))?.hasSuffix("got 65") == true)
    let many = (0..<65).map { "{to: any, ports: \(8000 + $0)}" }.joined(separator: ", ")
    #expect(
      error("workloads: [{name: a, cgroup: /a, inbound: [], outbound: [\(many)]}]")?.contains(
        "at most 64 elements, got 65") == true)
  }

  @Test("has as many workloads and names as the kernel takes")
  func tooMany() throws {
    func workloads(_ count: Int, _ rest: (Int) -> String) -> String {
      #"{"resolvers": ["1.1.1.1"], "workloads": ["#
        + (0..<count).map { "{\"name\": \"w\($0)\", \"cgroup\": \"/w\($0)\"\(rest($0))}" }.joined(separator: ",") + "]}"
    }
    #expect(error(workloads(Int(CASA_MAX_WORKLOADS)) { _ in "" }) == nil)
    #expect(
      error(workloads(Int(CASA_MAX_WORKLOADS) + 1) { _ in "" })?.contains("at most 16384 elements, got 16385") == true)
    let names = (0..<6554).map { "\"h\($0).example\"" }.joined(separator: ",")
    #expect(
      error(workloads(10) { _ in ", \"resolve\": [\(names)]" })?.contains(
        "workloads[9]: expected at most 65536 names in all") == true)
  }

  @Test("is no longer than 16 MiB")
  func tooLong() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/policy.yaml"
    try Data("workloads: []\n".utf8).write(to: URL(fileURLWithPath: path))
    #expect(try NodePolicy.load(path: path).workloads.isEmpty)
    try Data(("workloads: []\n" + String(repeating: "#", count: NodePolicy.maximumBytes)).utf8)
      .write(to: URL(fileURLWithPath: path))
    #expect(throws: PolicyError.self) { try NodePolicy.load(path: path) }
    #expect(throws: PolicyError.self) { try NodePolicy.load(path: directory.path + "/none") }
    #expect(throws: PolicyError.self) { try NodePolicy.load(path: directory.path) }
    #expect(throws: PolicyError.self) { try NodePolicy.load(path: "/dev/zero") }
  }

  @Test("ends no process, however deep it nests")
  func deep() {
    for opening in ["[", "{a: ", "- ", "? "] {
      #expect(error(String(repeating: opening, count: 100_000)) != nil)
    }
    #expect(error("{\"workloads\":" + String(repeating: "[", count: 100_000)) != nil)
  }
}
