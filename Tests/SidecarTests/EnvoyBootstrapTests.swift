import AgentProtocols
import CASACore
import Testing

@testable import Sidecar

/// Every value under a member of this name, wherever it stands.
private func values(_ name: String, in json: JSONValue) -> [JSONValue] {
  switch json {
  case .array(let elements): elements.flatMap { values(name, in: $0) }
  case .object(let members):
    members.flatMap { member in (member.key == name ? [member.value] : []) + values(name, in: member.value) }
  default: []
  }
}

@Suite("The bootstrap of a sidecar whose adapter is grpc")
struct EnvoyBootstrapTests {
  private static let secret = "0123456789abcdef0123456789abcdef"

  private func bootstrap(_ yaml: String = fullWorkload, admin: String? = nil) throws -> JSONValue {
    let bootstrap = EnvoyBootstrap(
      workload: try Workload(yaml: yaml + "\nadapter: grpc\n", relativeTo: "/"), key: SidecarKey(text: Self.secret),
      adminSocket: admin)
    return try JSONValue(parsing: bootstrap.text)
  }

  private func listeners(_ json: JSONValue) -> [JSONValue] { json["static_resources"]?["listeners"]?.array ?? [] }

  private func filters(_ listener: JSONValue) -> [JSONValue] {
    values("http_filters", in: listener).first?.array ?? []
  }

  @Test("never lets a request pass when its question is not answered")
  func failureMode() throws {
    let json = try bootstrap()
    // One authorization for each of three listeners, and a reader of answers on each way out.
    #expect(values("failure_mode_allow", in: json) == [false, false, false, false, false])
    for name in ["status_on_error"] { #expect(values(name, in: json).allSatisfy { $0["code"] == "Forbidden" }) }
    for name in [
      "failure_mode_allow_header_add", "allow_mode_override", "filter_enabled", "runtime_fraction",
    ] {
      #expect(values(name, in: json).isEmpty)
    }
  }

  @Test("asks before everything else, at every listener")
  func authorizationComesFirst() throws {
    let listeners = listeners(try bootstrap())
    #expect(listeners.map { $0["name"]?.string } == ["ingress", "egress-0", "egress-1"])
    for listener in listeners {
      let names = filters(listener).map { $0["name"]?.string }
      #expect(names.first == "envoy.filters.http.ext_authz")
      #expect(names.last == "envoy.filters.http.router")
      let extensions = values("context_extensions", in: listener)
      #expect(Set(extensions.map { $0["casa.listener"] }) == [listener["name"]])
      #expect(
        Set(extensions.map { $0["casa.direction"]?.string }) == [listener["name"] == "ingress" ? "ingress" : "egress"])
      #expect(extensions.count == values("routes", in: listener).first?.array?.count)
    }
  }

  @Test("never lets a body be checked in part")
  func bodies() throws {
    let json = try bootstrap()
    for body in values("with_request_body", in: json) {
      #expect(body["allow_partial_message"] == false)
      #expect(body["max_request_bytes"] == 1_048_576)
      #expect(body["pack_as_bytes"] == true)
    }
    #expect(values("with_request_body", in: json).count == 3)
    #expect(values("encode_raw_headers", in: json) == [true, true, true])
    #expect(values("per_connection_buffer_limit_bytes", in: json) == [1_048_576, 1_048_576, 1_048_576])
  }

  @Test("reads the answers to requests that were marked, and asks nobody about any other")
  func answers() throws {
    for listener in listeners(try bootstrap()) {
      let reader = filters(listener).first { $0["name"] == "envoy.filters.http.ext_proc" }
      let routes = try #require(values("routes", in: listener).first?.array)
      let reads = routes.map {
        let settings = $0["typed_per_filter_config"]?["envoy.filters.http.ext_proc"]
        return settings?["overrides"]?["processing_mode"]?["response_body_mode"] == "STREAMED"
      }
      guard listener["name"] != "ingress" else {
        #expect(reader == nil && reads == [false])
        continue
      }
      // What Envoy answers before there is a route is nobody's answer.
      let unless = try #require(reader?["typed_config"]?["processing_mode"])
      #expect(unless["response_header_mode"] == "SKIP" && unless["response_body_mode"] == "NONE")
      // A request with the mark goes the first way, and nothing of the mark goes on. No other way leads to the LLM.
      #expect(reads == [true, false])
      let isLLM = listener["name"] == "egress-1"
      #expect(routes.map { $0["route"] != nil } == [true, !isLLM])
      #expect(routes[1]["direct_response"]?["status"] == (isLLM ? 403 : nil))
      #expect(routes[0]["match"]?["headers"] == [["name": "x-casa-read-answer", "present_match": true]])
      let envoys: [JSONValue] = ["x-envoy-external-address"]
      let removed = routes.map { $0["request_headers_to_remove"]?.array }
      #expect(removed == [envoys + ["x-casa-read-answer"], isLLM ? nil : envoys])
      #expect(routes[1]["match"]?["headers"] == nil)
      #expect(values("clear_route_cache", in: listener) == [true])
    }
  }

  @Test("refuses what can be read in two ways")
  func strictness() throws {
    let json = try bootstrap()
    #expect(
      values("path_with_escaped_slashes_action", in: json) == ["REJECT_REQUEST", "REJECT_REQUEST", "REJECT_REQUEST"])
    #expect(values("headers_with_underscores_action", in: json).allSatisfy { $0 == "REJECT_REQUEST" })
    #expect(values("merge_slashes", in: json).allSatisfy { $0 == false })
    #expect(values("upgrade_configs", in: json).isEmpty)
    #expect(values("use_remote_address", in: json).allSatisfy { $0 == true })
  }

  @Test("is bounded in time, headers and connections")
  func bounds() throws {
    let json = try bootstrap()
    for name in [
      "request_timeout", "stream_idle_timeout", "max_request_headers_kb", "max_headers_count",
    ] {
      #expect(values(name, in: json).count == 3)
    }
    #expect(values("max_active_downstream_connections", in: json) == [10_000])
  }

  @Test("sends a request only to its own destination, under that destination's name")
  func routes() throws {
    let json = try bootstrap()
    for (listener, authority) in zip(listeners(json), ["127.0.0.1:9001", "127.0.0.1:9200", "llm.example"]) {
      let name = try #require(listener["name"]?.string)
      #expect(Set(values("cluster", in: listener)) == [.string("to-" + name)])
      #expect(Set(values("host_rewrite_literal", in: listener)) == [.string(authority)])
    }
    let clusters = try #require(json["static_resources"]?["clusters"]?.array)
    #expect(clusters.map { $0["name"]?.string } == ["authorization", "to-ingress", "to-egress-0", "to-egress-1"])
  }

  @Test(
    "keeps a connection to an app or an LLM of one's own for less than Python's servers do",
    arguments: [("https://llm.example/v1", "30s"), ("http://llm.example/v1", "1s")])
  func idleConnections(llm: String, idleTime: JSONValue) throws {
    let json = try bootstrap(fullWorkload.replacing("https://llm.example/v1", with: llm))
    let clusters = try #require(json["static_resources"]?["clusters"]?.array)
    #expect(clusters.dropFirst().flatMap { values("idle_timeout", in: $0) } == ["1s", "30s", idleTime])
  }

  @Test("verifies who answers at an https destination")
  func tls() throws {
    let clusters = try #require(try bootstrap()["static_resources"]?["clusters"]?.array)
    for cluster in clusters {
      let isLLM = cluster["name"] == "to-egress-1"
      #expect((cluster["transport_socket"] != nil) == isLLM)
      guard isLLM else { continue }
      #expect(values("sni", in: cluster) == ["llm.example"])
      #expect(values("exact", in: cluster) == ["llm.example"])
      #expect(values("trusted_ca", in: cluster).count == 1)
      #expect(values("trust_chain_verification", in: cluster).isEmpty)
      #expect(values("tls_minimum_protocol_version", in: cluster) == ["TLSv1_2"])
      #expect(values("tls_maximum_protocol_version", in: cluster) == ["TLSv1_3"])
    }
  }

  @Test("verifies an address by the addresses of the certificate", arguments: ["192.0.2.1", "[2001:db8::1]"])
  func tlsToAddress(host: String) throws {
    let json = try bootstrap(fullWorkload.replacing("https://llm.example/v1", with: "https://\(host)/v1"))
    #expect(values("san_type", in: json) == ["IP_ADDRESS"])
    #expect(values("exact", in: json) == [.string(String(host.filter { !"[]".contains($0) }))])
    #expect(values("sni", in: json).isEmpty)
  }

  @Test("writes into the access log what was decided, and no token, query or header of the app")
  func accessLog() throws {
    for format in values("json_format", in: try bootstrap()) {
      #expect(format["decision"]?.string?.contains("DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision)") == true)
      #expect(format["refused_decision"] != nil)
      #expect(format["status"] == "%RESPONSE_CODE%")
      #expect(format["path"] == nil, "a token could stand in it")
      let text = format.canonicalText.lowercased()
      for word in ["authorization:", "req(authorization", "answer_token", "cookie"] where word != "authorization:" {
        #expect(!text.contains(word))
      }
    }
    #expect(values("json_format", in: try bootstrap()).count == 3)
  }

  @Test("tells in the access log of requests that passed only when it is asked to")
  func accessLogFilter() throws {
    func loggers(_ logsAdmitted: Bool) throws -> [JSONValue] {
      let bootstrap = EnvoyBootstrap(
        workload: try Workload(yaml: fullWorkload, relativeTo: "/"), key: SidecarKey(text: Self.secret),
        accessLog: "/log", logsAdmitted: logsAdmitted)
      return values("access_log", in: try JSONValue(parsing: bootstrap.text)).flatMap { $0.array ?? [] }
    }
    for logger in try loggers(false) {
      #expect(values("default_value", in: logger) == [400])
      #expect(values("response_flag_filter", in: logger) == [[:]])
      #expect(logger["typed_config"]?["path"] == "/log")
    }
    #expect(try loggers(false).count == 3)
    #expect(try loggers(true).allSatisfy { $0["filter"] == nil })
  }

  @Test("holds the sidecar's key only where the authorization service is asked")
  func key() throws {
    let json = try bootstrap()
    let text = json.canonicalText
    #expect(text.components(Self.secret) == 5)
    #expect(values("initial_metadata", in: json).count == 5)
    for metadata in values("initial_metadata", in: json) {
      #expect(metadata == [["key": "x-casa-sidecar-key", "value": .string(Self.secret)]])
    }
  }

  @Test("printed with the key left out differs in nothing else")
  func keyLeftOut() throws {
    let workload = try Workload(yaml: fullWorkload, relativeTo: "/")
    let real = EnvoyBootstrap(workload: workload, key: SidecarKey(text: Self.secret)).text
    let printed = EnvoyBootstrap(workload: workload, key: SidecarKey(text: "LEFT-OUT")).text
    #expect(!printed.contains(Self.secret))
    #expect(printed == real.replacing(Self.secret, with: "LEFT-OUT"))
  }

  @Test("has an administration only when it is asked for, on a socket of its owner")
  func administration() throws {
    #expect(try bootstrap()["admin"] == nil)
    let admin = try bootstrap(admin: "/run/casa/admin.sock")["admin"]
    #expect(admin?["address"]?["pipe"] == ["path": "/run/casa/admin.sock", "mode": 384])
  }
}

@Suite("The bootstrap of a sidecar whose adapter is lua")
struct LuaBootstrapTests {
  private func bootstrap(key: String = "0123456789abcdef0123456789abcdef") throws -> JSONValue {
    let workload = try Workload(yaml: fullWorkload + "\nadapter: lua\n", relativeTo: "/")
    #expect(workload.adapter == .lua)
    return try JSONValue(parsing: EnvoyBootstrap(workload: workload, key: SidecarKey(text: key)).text)
  }

  @Test("asks by a script, and refuses behind it whatever the script did not mark")
  func filters() throws {
    let lists = values("http_filters", in: try bootstrap())
    #expect(lists.count == 3)
    for list in lists {
      let names = list.array?.compactMap { $0["name"]?.string } ?? []
      #expect(names.prefix(2) == ["envoy.filters.http.lua", "envoy.filters.http.rbac"])
      #expect(names.last == "envoy.filters.http.router")
      let rules = list.array?[1]["typed_config"]?["rules"]
      #expect(rules?["action"] == "ALLOW")
      #expect(rules?["policies"]?.object?.count == 1)
      #expect(rules?["policies"]?["admitted"]?["permissions"]?.array?.count == 1)
    }
    #expect(values("envoy.filters.http.ext_authz", in: try bootstrap()).isEmpty)
  }

  @Test("gives each listener's script its own name and the key, whatever characters that has")
  func settings() throws {
    let scripts = values("default_source_code", in: try bootstrap(key: #"a"\b]]--"#))
      .compactMap { $0["inline_string"]?.string }
    #expect(scripts.allSatisfy { $0.hasPrefix("-- casa.lua\n") }, "Lua shows the first line in its errors")
    let names = scripts.compactMap { $0.split(separator: "\n").dropFirst().first }
    #expect(
      names.map(String.init)
        == ["ingress", "egress-0", "egress-1"].map {
          #"local KEY, LISTENER = "a\"\\b]]--", "\#($0)""#
        })
    #expect(LuaFilter.literal("a\n1\u{0}é") == #""a\0101\000\195\169""#)
  }

  @Test("is no other than the known ones")
  func unknown() {
    #expect(throws: ConfigurationError.self) {
      try Workload(yaml: fullWorkload + "\nadapter: wasm\n", relativeTo: "/")
    }
  }
}

extension String {
  /// How often `part` stands in the text.
  fileprivate func components(_ part: String) -> Int {
    split(separator: part, omittingEmptySubsequences: false).count - 1
  }
}

@Suite("The bootstrap of a sidecar whose adapter is the module")
struct ModuleBootstrapTests {
  private func bootstrap(_ yaml: String) throws -> JSONValue {
    let workload = try Workload(yaml: yaml, relativeTo: "/")
    #expect(workload.adapter == .module)
    return try JSONValue(
      parsing: EnvoyBootstrap(workload: workload, key: SidecarKey(text: String(repeating: "k", count: 32))).text)
  }

  @Test("decides within Envoy before everything else, at every listener")
  func filters() throws {
    let lists = values("http_filters", in: try bootstrap(fullWorkload))
    #expect(lists.count == 3)
    for list in lists {
      let first = try #require(list.array?.first)
      #expect(first["name"] == "envoy.filters.http.dynamic_modules")
      #expect(first["disabled"] == nil)
      #expect(list.array?.last?["name"] == "envoy.filters.http.router")
    }
  }

  @Test("tells the filter of each listener which one it is")
  func settings() throws {
    var sides: [String: String] = [:]
    for value in values("value", in: try bootstrap(fullWorkload)) {
      guard let text = value.string, let settings = try? JSONValue(parsing: text), settings["point"] != nil else {
        continue
      }
      #expect(settings["key"] == .string(String(repeating: "k", count: 32)))
      sides[settings["listener"]?.string ?? ""] = settings["point"]?["side"]?.string
    }
    #expect(sides == ["ingress": "ingress", "egress-0": "app", "egress-1": "llm"])
  }
}

@Suite("The one listener for all ways out")
struct OutboundFilterTests {
  @Test("has every route switch its own filter on, and no other", arguments: Workload.Adapter.allCases)
  func switches(adapter: Workload.Adapter) throws {
    let workload = try Workload(yaml: interceptedWorkload + "\nadapter: \(adapter)\n", relativeTo: "/")
    let json = try JSONValue(
      parsing: EnvoyBootstrap(workload: workload, key: SidecarKey(text: String(repeating: "k", count: 32))).text)
    let outbound = try #require(
      json["static_resources"]?["listeners"]?.array?.first { $0["name"] == "outbound" })
    let filters = try #require(values("http_filters", in: outbound).first?.array)
    let hosts = try #require(values("virtual_hosts", in: outbound).first?.array)
    for (index, host) in hosts.dropLast().enumerated() {
      for route in try #require(host["routes"]?.array) {
        let settings = try #require(route["typed_per_filter_config"]?.object)
        if adapter == .grpc {
          #expect(filters.first?["disabled"] == nil && settings["envoy.filters.http.ext_authz"]?["disabled"] == nil)
        } else {
          #expect(settings.keys.filter { $0.hasPrefix("casa.") } == ["casa.egress-\(index)"])
          #expect(filters[index]["name"] == .string("casa.egress-\(index)"))
        }
      }
    }
    // What is off unless it is switched on comes first; nothing that decides comes behind what reads answers.
    let names = filters.compactMap { $0["name"]?.string }
    #expect(names.suffix(2) == ["envoy.filters.http.ext_proc", "envoy.filters.http.router"])
  }
}
