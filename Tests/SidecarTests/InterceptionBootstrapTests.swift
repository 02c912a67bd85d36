import AgentProtocols
import CASACore
import Testing

@testable import Sidecar

/// An agent whose traffic is redirected, with two apps and the LLM.
let interceptedWorkload = """
  runtime: http://127.0.0.1:8080
  client_id: app_1
  client_secret_file: secret
  authorization: unix:/run/casa/authz.sock
  sidecar_key_file: /run/casa/key
  ingress:
    app: http://127.0.0.1:9001/a2a
  intercept: {}
  egress:
    - destination: weather
      url: http://Weather.example:9200/mcp
    - llm: true
      url: https://llm.example/v1
    - destination: bank
      url: http://bank/mcp
  """

@Suite("Envoy's bootstrap behind packet rules")
struct InterceptionBootstrapTests {
  private func listener(_ name: String, _ yaml: String = interceptedWorkload) throws -> JSONValue {
    let bootstrap = EnvoyBootstrap(
      workload: try Workload(yaml: yaml + "\nadapter: grpc\n", relativeTo: "/"),
      key: SidecarKey(text: String(repeating: "k", count: 32)))
    let listeners = try JSONValue(parsing: bootstrap.text)["static_resources"]?["listeners"]?.array
    return try #require(listeners?.first { $0["name"]?.string == name })
  }

  private func manager(_ chain: JSONValue) throws -> JSONValue {
    try #require(chain["filters"]?.array?.first?["typed_config"])
  }

  private func hosts(_ chain: JSONValue) throws -> [JSONValue] {
    try #require(try manager(chain)["route_config"]?["virtual_hosts"]?.array)
  }

  @Test("takes only what begins as HTTP does, in bounded time", arguments: ["inbound", "outbound"])
  func protocols(name: String) throws {
    let listener = try listener(name)
    #expect(listener["default_filter_chain"] == nil)
    #expect(listener["continue_on_listener_filters_timeout"] == false)
    #expect(listener["listener_filters_timeout"] == "10s")
    #expect(
      listener["listener_filters"]?.array?.map { $0["name"]?.string } == [
        "envoy.filters.listener.original_dst", "envoy.filters.listener.http_inspector",
      ])
    for chain in try #require(listener["filter_chains"]?.array) {
      #expect(chain["filter_chain_match"]?["application_protocols"] == ["http/1.0", "http/1.1", "h2c"])
    }
  }

  @Test("listens at all addresses inbound and at loopback outbound, in both families")
  func addresses() throws {
    for (name, first, second, port) in [
      ("inbound", "0.0.0.0", "::", 15_006.0), ("outbound", "127.0.0.1", "::1", 15_001),
    ] {
      let listener = try listener(name)
      #expect(listener["address"]?["socket_address"] == ["address": .string(first), "port_value": .number(port)])
      let others = listener["additional_addresses"]?.array
      #expect(
        others?.map { $0["address"]?["socket_address"] } == [
          ["address": .string(second), "port_value": .number(port)]
        ])
    }
  }

  @Test("hands only the app's port on, after asking, and refuses the others without")
  func inbound() throws {
    let chains = try #require(try listener("inbound")["filter_chains"]?.array)
    #expect(chains.map { $0["filter_chain_match"]?["destination_port"] } == [9001, nil])
    let names = try chains.map { try manager($0)["http_filters"]?.array?.map { $0["name"]?.string } }
    #expect(names == [["envoy.filters.http.ext_authz", "envoy.filters.http.router"], ["envoy.filters.http.router"]])
    let route = try hosts(chains[0]).first?["routes"]?.array?.first
    #expect(route?["route"]?["cluster"] == "to-ingress")
    for host in try hosts(chains[1]) {
      for route in host["routes"]?.array ?? [] {
        #expect(route["direct_response"]?["status"] == 403)
        #expect(route["route"] == nil)
      }
    }
  }

  @Test("knows destinations by the authority an app would write, and each leads to its own")
  func outbound() throws {
    let hosts = try hosts(try #require(try listener("outbound")["filter_chains"]?.array?.first))
    #expect(
      hosts.map { $0["domains"] } == [
        ["weather.example:9200"], ["llm.example", "llm.example:80", "llm.example:443"], ["bank", "bank:80"], ["*"],
      ])
    for (index, host) in hosts.dropLast().enumerated() {
      let route = try #require(host["routes"]?.array?.first)
      #expect(route["route"]?["cluster"] == .string("to-egress-\(index)"))
      let settings = route["typed_per_filter_config"]?["envoy.filters.http.ext_authz"]
      #expect(settings?["check_settings"]?["context_extensions"]?["casa.listener"] == .string("egress-\(index)"))
      #expect(settings?["disabled"] == nil)
      // Of the two ways to each, on one the answer is read.
      let reads = host["routes"]?.array?.map {
        $0["typed_per_filter_config"]?["envoy.filters.http.ext_proc"]?["overrides"] != nil
      }
      #expect(reads == [true, false])
    }
  }

  @Test("knows a destination by its aliases too, and calls it by its own name")
  func aliases() throws {
    let yaml = interceptedWorkload.replacing(
      "url: http://bank/mcp", with: "url: http://bank/mcp\n    aliases: [bank.ns, bank.ns.svc, bank]")
    let hosts = try hosts(try #require(try listener("outbound", yaml)["filter_chains"]?.array?.first))
    #expect(
      hosts[2]["domains"] == ["bank", "bank:80", "bank.ns", "bank.ns:80", "bank.ns.svc", "bank.ns.svc:80"])
    for route in hosts[2]["routes"]?.array ?? [] {
      #expect(route["route"]?["host_rewrite_literal"] == "bank")
    }
  }

  @Test("refuses every other authority itself, in JSON, and asks nobody")
  func refusal() throws {
    let hosts = try hosts(try #require(try listener("outbound")["filter_chains"]?.array?.first))
    let routes = try #require(hosts.last?["routes"]?.array)
    #expect(routes.map { $0["match"] } == [["prefix": "/"], ["connect_matcher": [:]]])
    for route in routes {
      #expect(route["route"] == nil)
      #expect(route["typed_per_filter_config"]?["envoy.filters.http.ext_authz"]?["disabled"] == true)
      let body = try #require(route["direct_response"]?["body"]?["inline_string"]?.string)
      #expect(try JSONValue(parsing: body)["reason"] == "destination_not_allowed")
    }
  }

  @Test("has no listener of the kind without `intercept`, and needs none else with it")
  func presence() throws {
    let plain = try Workload(yaml: fullWorkload, relativeTo: "/")
    #expect(plain.interception == nil)
    let workload = try Workload(yaml: interceptedWorkload, relativeTo: "/")
    #expect(workload.ingress?.listen == nil && workload.egress.allSatisfy { $0.listen == nil })
    let bootstrap = EnvoyBootstrap(workload: workload, key: SidecarKey(text: "k"))
    let listeners = try JSONValue(parsing: bootstrap.text)["static_resources"]?["listeners"]?.array
    #expect(listeners?.map { $0["name"]?.string } == ["inbound", "outbound"])
  }

  @Test("keeps addresses of its own beside")
  func both() throws {
    let yaml =
      fullWorkload + "\nintercept: {inbound: \"0.0.0.0:16006\", outbound: [\"127.0.0.1:16001\", \"[::1]:16001\"]}"
    let workload = try Workload(yaml: yaml, relativeTo: "/")
    #expect(workload.interception?.inbound.map(\.description) == ["0.0.0.0:16006"])
    #expect(workload.interception?.outbound.map(\.description) == ["127.0.0.1:16001", "[::1]:16001"])
    #expect(try listener("egress-0", yaml)["address"] != nil)
  }

  @Test(
    "is refused when it is no address, unknown, empty or ambiguous",
    arguments: [
      ("intercept: {}", "intercept: {inbound: 15006}", "`inbound` must be an IP address"),
      ("intercept: {}", "intercept: {inbound: []}", "`inbound` names no address"),
      ("intercept: {}", "intercept: {outbound: \"localhost:15001\"}", "`outbound` must be an IP address"),
      ("intercept: {}", "intercept: {port: 1}", "intercept has no `port`"),
      ("intercept: {}", "intercept: {inbound: \"127.0.0.1:1\", outbound: \"127.0.0.1:1\"}", "have the same address"),
      ("http://bank/mcp", "http://LLM.example/mcp", "two egress have the authority llm.example"),
      (
        "url: http://bank/mcp", "url: http://bank/mcp\n    aliases: [llm.example]",
        "two egress have the authority llm.example"
      ),
      ("intercept: {}\n", "", "`listen` is missing"),
    ])
  func refused(line: String, replacement: String, message: String) throws {
    try #require(interceptedWorkload.contains(line))
    #expect {
      try Workload(yaml: interceptedWorkload.replacing(line, with: replacement), relativeTo: "/")
    } throws: {
      "\($0)".contains(message)
    }
  }
}
