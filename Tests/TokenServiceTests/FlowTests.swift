import AgentProtocols
import CASACore
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("Flows of a node")
struct FlowTests {
  /// A system with a node.
  private static func make() async throws -> (TestSystem, AuthenticatedNode) {
    let system = try await TestSystem()
    let (node, _) = try await system.server.registry.createNode(name: try #require(NodeName("worker-1")))
    return (system, AuthenticatedNode(node: node))
  }

  private static func report(
    _ kind: String, id: String, _ system: TestSystem, _ more: [String: JSONValue] = [:]
  ) throws -> FlowReport {
    let members: [String: JSONValue] = [
      "kind": .string(kind), "id": .string(id), "at": .number(Double(system.clock.now.milliseconds - 1000)),
      "workload": "travel/planner-0", "app_id": .string(system.agent.id.rawValue),
    ]
    return try FlowReport(json: .object(members.merging(more) { $1 }), now: system.clock.now)
  }

  private static func seen(
    _ token: TokenHash, id: String, _ system: TestSystem, to peer: App? = nil, remote: String = "203.0.113.9:443",
    _ more: [String: JSONValue] = [:]
  ) throws -> FlowReport {
    var members: [String: JSONValue] = [
      "token_sha256": .string(token.text), "direction": "outbound", "remote": .string(remote),
    ]
    members["peer_app_id"] = peer.map { .string($0.id.rawValue) }
    return try report("token_seen", id: id, system, members.merging(more) { $1 })
  }

  @Test("are events of the app that the workload is, at the time they were seen")
  func stored() async throws {
    let (system, node) = try await Self.make()
    let opened = try Self.report("flow_opened", id: "1", system, ["remote": "192.0.2.1:80", "flow": "f"])
    let left = try Self.report("workload_left", id: "2", system, ["app_id": "app_nobody"])
    #expect(try await system.server.record([opened, left], by: node).isEmpty)
    let event = try #require(try await system.events(.flowOpened).first)
    #expect(event["at"]?.string == (system.clock.now - .seconds(1)).rfc3339)
    #expect(event["app_id"]?.string == system.agent.id.rawValue && event["mas_id"]?.string == system.mas.id.rawValue)
    #expect(
      event["payload"] == [
        "workload": "travel/planner-0", "remote": "192.0.2.1:80", "flow": "f", "report_id": "1", "node": "worker-1",
        "node_id": .string(node.node.id.rawValue),
      ])
    let unknown = try #require(try await system.events(.workloadLeft).first)
    #expect(unknown["app_id"] == .null && unknown["mas_id"] == .null)
    #expect(unknown["payload"]?["unknown_app_id"] == "app_nobody")
  }

  @Test("are stored once, however often and in whatever company they come, also beyond a restart")
  func once() async throws {
    let (system, node) = try await Self.make()
    let reports = try (0..<20).map { try Self.report("flow_opened", id: "boot:\($0)", system) }
    _ = try await system.server.record(Array(reports[..<10]), by: node)
    _ = try await system.server.record(Array(reports[5...]) + Array(reports[5...]), by: node)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<20 { group.addTask { _ = try? await system.server.record(reports, by: node) } }
    }
    #expect(try await system.events(.flowOpened).count == 20)
    let after = try await system.restarted()
    _ = try await after.server.record(reports, by: node)
    #expect(try await after.events(.flowOpened).count == 20)
    #expect(after.server.registry.node(node.node.id)?.name == node.node.name)
  }

  @Test("of two nodes are told apart, though they have the same ids")
  func nodes() async throws {
    let (system, node) = try await Self.make()
    let (second, _) = try await system.server.registry.createNode(name: try #require(NodeName("worker-2")))
    let report = try Self.report("flow_opened", id: "1", system)
    _ = try await system.server.record([report], by: node)
    _ = try await system.server.record([report], by: AuthenticatedNode(node: second))
    #expect(try await system.events(.flowOpened).count == 2)
  }

  @Test("that hold a token belong to its session")
  func joined() async throws {
    let (system, node) = try await Self.make()
    let session = try await system.session()
    try await system.select(session)
    let token = try await system.toolToken(session)
    #expect(
      try await system.server.record(
        [try Self.seen(token.hash, id: "1", system, to: system.weather)], by: node
      ).isEmpty)
    let event = try #require(try await system.events(.tokenSeen).first)
    #expect(event["user_input_id"]?.string == session.claims.userInputID?.rawValue)
    #expect(event["trace_id"]?.string == session.claims.traceID?.text)
    #expect(event["mas_id"]?.string == system.mas.id.rawValue)
    #expect(try await system.events(.tokenExfiltration).isEmpty)
  }

  @Test("raise no alert where tokens go the way they were issued for")
  func expected() async throws {
    let (system, node) = try await Self.make()
    let session = try await system.session()
    let handed = try await system.exchange(session, .userInput, [("audience", "booker")])
    let listing = try await system.exchange(session, .userInput, [("audience", "weather")])
    let again = try await system.server.resume(
      try #require(session.claims.traceID), by: AuthenticatedClient(app: system.client)
    ).token
    let discovery = try await system.server.discover(
      DiscoverRequest(form: FormBody(parsing: Array("audience=weather".utf8))),
      by: AuthenticatedClient(app: system.agent)
    ).token
    let client: [String: JSONValue] = ["app_id": .string(system.client.id.rawValue)]
    let inbound: [String: JSONValue] = ["direction": "inbound"]
    let reports = [
      try Self.seen(session.hash, id: "1", system, to: system.agent, client),
      try Self.seen(session.hash, id: "2", system, to: system.client, inbound),
      try Self.seen(handed.hash, id: "3", system, to: system.other),
      try Self.seen(listing.hash, id: "4", system, to: system.weather),
      try Self.seen(again.hash, id: "5", system, to: system.agent, client),
      try Self.seen(discovery.hash, id: "6", system, to: system.weather),
    ]
    #expect(try await system.server.record(reports, by: node).map(\.explanation) == [])
    #expect(try await system.events(.tokenSeen).count == reports.count)
    #expect(try await system.events(.tokenExfiltration).isEmpty)
  }

  @Test("raise an alert with the report where a token goes astray, once for each token, workload and remote")
  func alert() async throws {
    let (system, node) = try await Self.make()
    let session = try await system.session()
    try await system.select(session)
    let token = try await system.toolToken(session)
    func record(_ reports: FlowReport...) async throws -> [TokenExfiltration.Reason] {
      try await system.server.record(reports, by: node).map(\.reason)
    }
    let first = try Self.seen(token.hash, id: "1", system, ["path": "/steal", "method": "POST"])
    #expect(try await record(first, try Self.seen(token.hash, id: "2", system)) == [.recipientUnknown])
    #expect(try await record(first) == [])
    #expect(try await record(try Self.seen(token.hash, id: "3", system)) == [])
    let event = try #require(try await system.events(.tokenExfiltration).first)
    #expect(event["at"]?.string == system.clock.now.rfc3339)
    #expect(event["user_input_id"]?.string == session.claims.userInputID?.rawValue)
    #expect(event["trace_id"]?.string == session.claims.traceID?.text)
    #expect(event["app_id"]?.string == system.agent.id.rawValue && event["mas_id"]?.string == system.mas.id.rawValue)
    #expect(
      event["payload"] == [
        "token_sha256": .string(token.hash.text), "scope": "call-tools", "holder": .string(system.agent.id.rawValue),
        "addressee": .string(system.weather.id.rawValue), "workload": "travel/planner-0", "direction": "outbound",
        "remote": "203.0.113.9:443", "reason": "recipient_unknown", "report_id": "1", "node": "worker-1",
        "node_id": .string(node.node.id.rawValue), "seen_at": .string((system.clock.now - .seconds(1)).rfc3339),
        "explanation":
          "a token of scope call-tools went from planner to 203.0.113.9:443, but it may only go from planner to weather: no app is known at that address",
      ])
    #expect(
      try await record(try Self.seen(token.hash, id: "4", system, remote: "203.0.113.10:443")) == [.recipientUnknown])
    #expect(try await record(try Self.seen(session.hash, id: "5", system)) == [.senderNotHolder])
    // Whoever receives has a peer with another port each time.
    for (index, port) in [40_001, 40_002].enumerated() {
      let report = try Self.seen(
        token.hash, id: "in\(index)", system, remote: "203.0.113.9:\(port)", ["direction": "inbound"])
      #expect(try await record(report) == (index == 0 ? [.senderUnknown] : []))
    }
    #expect(try await system.events(.tokenExfiltration).count == 4)
    #expect(try await system.events(.tokenSeen).count == 7)
    let after = try await system.restarted()
    #expect(try await after.server.record([try Self.seen(token.hash, id: "6", after)], by: node).isEmpty)
  }

  @Test("raise one alert when they come at the same time")
  func concurrently() async throws {
    let (system, node) = try await Self.make()
    let token = try await system.exchange(try await system.session(), .llmAccess)
    let reports = try (0..<50).map { try Self.seen(token.hash, id: "\($0 / 2)", system) }
    let raised = await withTaskGroup(of: Int.self, returning: Int.self) { group in
      for report in reports {
        group.addTask { (try? await system.server.record([report], by: node).count) ?? 100 }
      }
      return await group.reduce(0, +)
    }
    #expect(raised == 1)
    #expect(try await system.events(.tokenExfiltration).count == 1)
    #expect(try await system.events(.tokenSeen).count == 25)
  }

  @Test("that hold what was never issued here are stored and raise no alert")
  func unissued() async throws {
    let (system, node) = try await Self.make()
    let foreign = try await TestSystem().session()
    #expect(try await system.server.record([try Self.seen(foreign.hash, id: "1", system)], by: node).isEmpty)
    let event = try #require(try await system.events(.tokenSeen).first)
    #expect(event["user_input_id"] == .null && event["mas_id"]?.string == system.mas.id.rawValue)
    #expect(event["payload"]?["token_sha256"]?.string == foreign.hash.text)
  }

  @Test("come with its secret, which opens nothing else, and not with one that was replaced or deleted")
  func credentials() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let (node, first) = try await registry.createNode(name: try #require(NodeName("worker-1")))
    func isNode(_ secret: ClientSecret) async -> Bool {
      let credentials = ClientCredentials.secret(client: AppID(node.id.rawValue), secret: secret.text)
      #expect(await refusal { _ = try await system.server.authenticate(credentials) }?.code == .invalidClient)
      guard case .node(let found) = try? await system.server.authenticateReporter(credentials) else { return false }
      return found.node.id == node.id
    }
    #expect(await isNode(first))
    let (_, second) = try await registry.rotateSecret(of: node.id)
    #expect(await !isNode(first))
    #expect(await isNode(second))
    await #expect(throws: RegistryError.self) { _ = try await registry.createNode(name: node.name) }
    try await registry.deleteNode(node.id)
    #expect(await !isNode(second))
    await #expect(throws: RegistryError.self) { try await registry.deleteNode(node.id) }
    await #expect(throws: RegistryError.self) { _ = try await registry.rotateSecret(of: node.id) }
    let changes = try await system.events(.configurationChanged).compactMap { $0["payload"]?["change"]?.string }
    #expect(changes.suffix(3) == ["node_created", "node_secret_rotated", "node_deleted"])
  }

  @Test("of an app's own credentials are none: an app reports as an app")
  func app() async throws {
    let system = try await TestSystem()
    let (app, secret) = try await system.server.registry.createApp(
      in: system.mas.id, name: try #require(Name("new")), kind: .agent, settings: .init(), jwks: nil)
    let credentials = ClientCredentials.secret(client: app.id, secret: try #require(secret).text)
    guard case .client(let client) = try await system.server.authenticateReporter(credentials) else {
      Issue.record("an app was taken for a node")
      return
    }
    #expect(client.app.id == app.id)
    for kind in FlowReport.Kind.allCases {
      #expect(throws: InvalidField.self) { _ = try Report(json: ["kind": .string(kind.rawValue)]) }
    }
  }
}
