import CASACore
import Testing

@testable import TokenService

@Suite("A flow's report")
struct FlowReportTests {
  private static let now = TestClock.start
  private static let hash = String(repeating: "ab", count: 32)

  private static func report(
    _ kind: String = "flow_opened", _ more: [String: JSONValue] = [:], without name: String? = nil
  ) throws(InvalidField) -> FlowReport {
    var members: [String: JSONValue] = [
      "kind": .string(kind), "id": "boot1:42", "at": .number(Double(now.milliseconds)), "workload": "shop/agent-0",
    ]
    if kind == "token_seen" { members.merge(["token_sha256": .string(hash), "direction": "outbound"]) { $1 } }
    members.merge(more) { $1 }
    if let name { members[name] = nil }
    return try FlowReport(json: .object(members), now: now)
  }

  private static func invalidField(_ read: () throws -> FlowReport) -> String? {
    do {
      _ = try read()
      return nil
    } catch {
      return (error as? InvalidField)?.field
    }
  }

  @Test("is read with all it tells, and nothing else")
  func whole() throws {
    let told: [String: JSONValue] = [
      "flow": "7f", "direction": "inbound", "protocol": "tcp", "local": "10.0.0.1:8000", "remote": "[2001:db8::1]:443",
      "peer_app_id": "app_2", "reason": "not_in_policy", "rule": 3, "hook": "cgroup/connect4", "bytes_out": 1,
      "bytes_in": 2, "packets_out": 3, "packets_in": 4, "duration_ms": 5, "suppressed": 6, "count": 7,
    ]
    let more = told.merging(["app_id": "app_1", "prompt": "secret", "token_sha256": 7, "path": ["x"]]) { $1 }
    let report = try Self.report("flow_closed", more)
    #expect(report.kind == .flowClosed && report.id == "boot1:42" && report.at == Self.now)
    #expect(report.appID == AppID("app_1") && report.peerAppID == AppID("app_2") && report.direction == .inbound)
    #expect(report.remote == SocketAddress("[2001:db8::1]:443") && report.token == nil)
    #expect(report.payload == told.merging(["workload": "shop/agent-0"]) { $1 })
  }

  @Test("tells of a token by its hash, and of its request without what may be secret")
  func token() throws {
    let report = try Self.report("token_seen", ["method": "POST", "path": "/mcp?key=secret"])
    #expect(report.token?.text == Self.hash)
    #expect(
      report.payload == [
        "workload": "shop/agent-0", "direction": "outbound", "token_sha256": .string(Self.hash), "method": "POST",
        "path": "/mcp",
      ])
    for name in ["token_sha256", "direction"] {
      #expect(Self.invalidField { try Self.report("token_seen", without: name) } == name)
    }
  }

  @Test("of every kind is read", arguments: FlowReport.Kind.allCases)
  func kinds(_ kind: FlowReport.Kind) throws {
    #expect(try Self.report(kind.rawValue).kind == kind)
  }

  @Test("is refused without what every report has", arguments: ["kind", "id", "at", "workload"])
  func needed(_ name: String) {
    #expect(Self.invalidField { try Self.report(without: name) } == name)
  }

  @Test("may be up to ten minutes ahead and thirty days old")
  func age() throws {
    func at(_ offset: Int64) throws -> FlowReport {
      try Self.report("flow_opened", ["at": .number(Double(Self.now.milliseconds + offset))])
    }
    let (lead, age): (Int64, Int64) = (600_000, 30 * 86_400_000)
    #expect(try at(lead).at > Self.now)
    #expect(try at(-age).at < Self.now)
    #expect(Self.invalidField { try at(lead + 1) } == "at")
    #expect(Self.invalidField { try at(-age - 1) } == "at")
  }

  @Test(
    "is refused when a member is not what it must be",
    arguments: [
      ("kind", "llm_call"), ("kind", "token_exfiltration"), ("kind", "FLOW_OPENED"), ("kind", nil), ("id", ""),
      ("id", .string(String(repeating: "a", count: 101))), ("id", "a b"), ("id", "a/b"), ("id", "\u{E9}"), ("id", 7),
      ("at", "1800000000000"), ("at", .number(1_800_000_000_000.5)), ("at", -1), ("at", nil), ("workload", ""),
      ("workload", .string(String(repeating: "w", count: 254))), ("workload", "a\nb"), ("workload", "\u{E9}"),
      ("app_id", "a b"), ("app_id", ""), ("app_id", nil), ("peer_app_id", 1),
      ("flow", .string(String(repeating: "f", count: 65))), ("flow", "\0"), ("direction", "sideways"),
      ("protocol", "TCP"), ("protocol", .string(String(repeating: "p", count: 17))), ("local", "localhost:80"),
      ("remote", "192.0.2.1"), ("remote", "192.0.2.1:65536"), ("remote", "192.0.2.1:+1"), ("remote", "192.0.2.1:"),
      ("remote", "192.0.2.01:1"), ("remote", "2001:db8::1:443"), ("remote", "[192.0.2.1]:443"), ("remote", "[::1]"),
      ("remote", "[fe80::1%eth0]:1"), ("remote", ":1"), ("remote", "[]:1"), ("reason", "Not allowed"), ("reason", ""),
      ("reason", .string(String(repeating: "r", count: 41))), ("rule", .number(1.5)), ("rule", "1"), ("hook", "a b"),
      ("bytes_out", -1), ("bytes_in", .number(0.5)), ("packets_out", "1"), ("packets_in", true), ("duration_ms", nil),
      ("suppressed", -1), ("count", [1]), ("token_sha256", "AB"), ("method", "PROPPATCH"), ("method", ""),
      ("path", .string(String(repeating: "/", count: 65))), ("path", "/\u{7F}"),
    ] as [(String, JSONValue)])
  func bounds(_ name: String, _ value: JSONValue) {
    #expect(Self.invalidField { try Self.report("token_seen", [name: value]) } == name)
  }

  @Test("is refused when it is no object", arguments: [nil, [], "flow_opened", 1] as [JSONValue])
  func form(_ json: JSONValue) {
    #expect(Self.invalidField { try FlowReport(json: json, now: Self.now) } == "kind")
  }

  @Test(
    "names addresses as they are written",
    arguments: ["192.0.2.1:0", "0.0.0.0:65535", "[::]:1", "[::ffff:192.0.2.1]:80"])
  func addresses(_ text: String) throws {
    #expect(try #require(SocketAddress(text)).description == text)
  }
}

@Suite("A node's name")
struct NodeNameTests {
  @Test("is an RFC 1123 subdomain")
  func form() {
    let longest = Array(repeating: String(repeating: "a", count: 62), count: 4).joined(separator: ".")
    for text in ["a", "worker-1", "ip-10-0-0-1.eu-west-1.compute.internal", "0.1", longest + "a"] {
      #expect(NodeName(text)?.text == text)
    }
    for text in ["", ".", "a.", ".a", "a..b", "A", "a_b", "-a", "a-.b", "a b", longest + "aa", "caf\u{E9}"] {
      #expect(NodeName(text) == nil)
    }
  }
}
