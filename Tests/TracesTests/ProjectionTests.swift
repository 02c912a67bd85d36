import CASACore
import Storage
import Testing

@testable import Traces

@Suite("The projection of the trace")
struct ProjectionTests {
  private static let t1 = TraceFixture.hash("1")
  private static let t3 = TraceFixture.hash("3")

  private func issue(_ traces: TraceFixture) -> [TraceEvent] {
    [
      traces.event(
        .tokenIssued, "inp_1", TraceFixture.client, at: 1,
        ["token_sha256": .string(Self.t1), "scope": "user-input", "expires_at": "x", "subject_token_sha256": .null]),
      traces.event(
        .tokenExchanged, "inp_1", TraceFixture.agent, at: 2,
        [
          "token_sha256": .string(Self.t3), "scope": "call-tools", "expires_at": "x",
          "subject_token_sha256": .string(Self.t1), "actors": ["app_agent"], "call": ["tool": "transfer_money"],
          "decision": [
            "decision_id": "dec_1",
            "checks": [["check": "ARGUMENT_GROUNDING", "answer": "allow", "latency_ms": .number(4.0)]],
          ],
        ]),
      traces.event(.tokenSpent, "inp_1", TraceFixture.bank, at: 3, ["token_sha256": .string(Self.t3)]),
    ]
  }

  private func flow(_ kind: TraceEvent.Kind, at seconds: Int, _ more: [String: JSONValue] = [:]) -> TraceEvent {
    TraceEvent(
      kind, at: TraceFixture.start + .seconds(seconds), masID: TraceFixture.mas, appID: TraceFixture.agent,
      payload: [
        "node_id": "node_1", "node": "worker", "flow": "7", "workload": "agent", "direction": "outbound",
        "remote": "192.0.2.1:80",
      ].merging(more) { $1 })
  }

  private func sighting(_ hash: String, known: Bool, session: String? = nil, at seconds: Int = 3) -> TraceEvent {
    TraceEvent(
      .tokenSeen, at: TraceFixture.start + .seconds(seconds), masID: session == nil ? nil : TraceFixture.mas,
      userInputID: session.map { UserInputID($0) }, appID: TraceFixture.agent,
      payload: [
        "node_id": "node_1", "node": "worker", "flow": "7", "workload": "agent", "direction": "outbound",
        "token_sha256": .string(hash), "known": .bool(known), "method": "POST", "path": "/mcp",
      ])
  }

  @Test("tells a session's tokens with their lineage, and what became of them")
  func lineage() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    try await traces.log.append(issue(traces))
    try await traces.project()
    func tokens() async throws -> [JSONValue] {
      try await traces.reader.session(UserInputID("inp_1"), TraceFixture.everything)?["tokens"]?.array ?? []
    }
    let before = try await tokens()
    #expect(before.map { $0["sha256"]?.string } == [Self.t1, Self.t3])
    #expect(before.last?["parent_sha256"]?.string == Self.t1)
    #expect(before.last?["tool"] == "transfer_money")
    #expect(before.last?["actors"] == ["app_agent"])
    #expect(before.last?["spent_at"]?.string == (TraceFixture.start + .seconds(3)).rfc3339)
    #expect(before.first?["spent_at"] == .null)
    #expect(before.allSatisfy { $0["revoked_at"] == .null })
    try await traces.append(
      traces.event(.tokenRevoked, "inp_1", TraceFixture.client, at: 4, ["token_sha256": .string(Self.t1)]))
    try await traces.project()
    #expect(try await tokens().allSatisfy { $0["revoked_at"]?.string == (TraceFixture.start + .seconds(4)).rfc3339 })
  }

  @Test("comes to the same however the events of a flow are ordered", arguments: [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
  func flowOrder(order: [Int]) async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    let events = [
      flow(.flowOpened, at: 1), sighting(Self.t3, known: true, session: "inp_1"),
      flow(.flowClosed, at: 5, ["bytes_out": 100, "bytes_in": 2000]),
    ]
    for index in order { try await traces.append(events[index]) }
    try await traces.project()
    let session = try await traces.reader.session(UserInputID("inp_1"), TraceFixture.everything)
    let flows = try #require(session?["flows"]?.array)
    #expect(flows.count == 1)
    #expect(flows[0]["opened_at"]?.string == (TraceFixture.start + .seconds(1)).rfc3339)
    #expect(flows[0]["closed_at"]?.string == (TraceFixture.start + .seconds(5)).rfc3339)
    #expect(flows[0]["bytes_in"] == 2000)
    #expect(flows[0]["tokens"]?.array?.first?["path"] == "/mcp")
  }

  @Test("shows what the kernel refused a session's apps while it went on")
  func refusedFlow() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    let refused = ["flow": JSONValue.string("8"), "reason": "no_rule", "report_id": "r1"]
    try await traces.append(
      traces.event(.callAdmitted, "inp_1", TraceFixture.agent, at: 1, ["direction": "ingress"]),
      flow(.flowRefused, at: 2, refused), traces.event(.callAdmitted, "inp_1", TraceFixture.agent, at: 4, [:]),
      flow(.flowRefused, at: 60, refused.merging(["flow": "9"]) { $1 }))
    try await traces.project()
    let session = try await traces.reader.session(UserInputID("inp_1"), TraceFixture.everything)
    #expect(session?["flows"]?.array?.map { $0["refused"] } == ["no_rule"])
    #expect(try await traces.statistics()["totals"]?["flows_refused"] == 2)
  }

  @Test("ties a token that was seen before it was told of, and tells of one that nobody issued")
  func settling() async throws {
    let traces = try await TraceFixture()
    let stranger = TraceFixture.hash("e")
    try await traces.append(sighting(Self.t3, known: false, at: 0), sighting(stranger, known: false, at: 0))
    try await traces.begin("inp_1", "x")
    try await traces.log.append(issue(traces))
    try await traces.project()
    #expect(try await traces.alerts() == [])
    try await traces.projector.settle()
    let session = try await traces.reader.session(UserInputID("inp_1"), TraceFixture.everything)
    #expect(session?["tokens"]?.array?.last?["sightings"] == 1)
    let alerts = try await traces.alerts()
    #expect(alerts.count == 1)
    #expect(alerts.first?["kind"] == "unknown_token")
    try await traces.projector.settle()
    #expect(try await traces.alerts().count == 1)
  }

  @Test("leaves a sighting alone until its token had time to be told of")
  func tooEarlyToSettle() async throws {
    let traces = try await TraceFixture(now: TraceFixture.start + .seconds(59))
    try await traces.append(sighting(TraceFixture.hash("e"), known: false, at: 0))
    try await traces.project()
    try await traces.projector.settle()
    #expect(try await traces.alerts() == [])
  }

  @Test("counts a call once, where it arrives, and a refusal that both the runtime and the sidecar tell once")
  func counting() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    let call: [String: JSONValue] = ["destination": "bank", "method": "tools/call"]
    try await traces.append(
      traces.event(.callAdmitted, "inp_1", TraceFixture.agent, call.merging(["direction": "egress"]) { $1 }),
      traces.event(
        .callAdmitted, "inp_1", TraceFixture.bank, call.merging(["direction": "ingress", "count": 2]) { $1 }),
      traces.event(
        .callAdmitted, "inp_1", TraceFixture.agent, ["direction": "egress", "destination": "llm", "method": "x"]),
      traces.event(
        .exchangeRefused, "inp_1", TraceFixture.agent,
        ["reason": "tool_intent_mismatch", "decision": ["decision_id": "dec_1", "checks": []]]),
      traces.event(
        .callRefused, "inp_1", TraceFixture.agent,
        ["direction": "egress", "destination": "bank", "reason": "tool_intent_mismatch", "decision_id": "dec_1"]),
      traces.event(
        .callRefused, nil, TraceFixture.bank,
        ["direction": "ingress", "destination": "bank", "reason": "token_missing"]))
    try await traces.project()
    let statistics = try await traces.statistics()
    #expect(statistics["totals"]?["allowed"] == 3)
    #expect(statistics["totals"]?["refused"] == 2)
    #expect(
      statistics["reasons"] == [
        ["reason": "token_missing", "count": 1], ["reason": "tool_intent_mismatch", "count": 1],
      ])
    let columns = try #require(statistics["calls"]?.array)
    #expect(columns.compactMap { $0["allowed"]?.integer }.reduce(0, +) == 3)
    let session = try #require(try await traces.sessions().first)
    #expect(session["allowed"] == 3)
    #expect(session["refused"] == 1)
    let query = try TraceQuery([:], known: [])
    let graph = try await traces.reader.graph(query, TraceFixture.everything, now: TraceFixture.start + .seconds(60))
    let edges = try #require(graph["edges"]?.array)
    #expect(
      edges.map { [$0["from"], $0["to"], $0["protocol"], $0["allowed"], $0["refused"]] } == [
        ["", "bank", "mcp", 0, 1], ["app_agent", "bank", "mcp", 1, 1], ["app_agent", "llm", "llm", 1, 0],
      ])
  }

  @Test("tells the slowest checks first, each percentile to a tenth")
  func checks() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    for number in 1...100 {
      try await traces.append(
        traces.event(
          .tokenExchanged, "inp_1", TraceFixture.agent, at: 2,
          [
            "decision": [
              "checks": [
                ["check": "SLOW", "answer": "allow", "latency_ms": .number(Double(number))],
                ["check": "FAST", "answer": number > 90 ? "block" : "allow", "latency_ms": .number(0.05)],
              ]
            ]
          ]))
    }
    try await traces.project()
    let checks = try #require(try await traces.statistics()["checks"]?.array)
    #expect(checks.map { $0["check"] } == ["SLOW", "FAST"])
    #expect(checks[1]["blocked"] == 10)
    guard case .number(let median) = checks[0]["p50_ms"], case .number(let p95) = checks[0]["p95_ms"] else {
      Issue.record("no percentiles")
      return
    }
    #expect(abs(median - 50) < 6)
    #expect(abs(p95 - 95) < 10)
    #expect(checks[0]["mean_ms"] == .number(50.5))
  }

  @Test("tells once of a locked session and of each tool that changed")
  func alerts() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    let locked = traces.event(.exchangeRefused, "inp_1", TraceFixture.agent, ["reason": "session_locked"])
    let tools = traces.event(
      .toolsDiscovered, nil, TraceFixture.bank,
      [
        "tools": [
          ["name": "a", "status": "modified", "seen_sha256": "1"],
          ["name": "b", "status": "pinned", "seen_sha256": "2"],
        ]
      ])
    try await traces.append(locked, locked, tools)
    try await traces.project()
    #expect(try await traces.alerts().map { $0["kind"]?.string } == ["tool_modified", "session_locked"])
    #expect(try await traces.sessions().first?["alerts"] == 1)
    #expect(try await traces.sessions().first?["refused"] == 2)
  }

  @Test("takes each event once although two runtimes project at the same time")
  func concurrent() async throws {
    let traces = try await TraceFixture()
    for number in 0..<40 {
      try await traces.begin("inp_\(number)", "x")
      for _ in 0..<20 {
        try await traces.append(
          traces.event(.callRefused, "inp_\(number)", TraceFixture.bank, ["direction": "ingress", "reason": "r"]))
      }
    }
    let (projector, other) = (traces.projector, TraceProjector(storage: traces.storage))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for one in [projector, other, projector, other] {
        group.addTask { while try await one.advance() > 0 {} }
      }
      try await group.waitForAll()
    }
    #expect(try await traces.statistics()["totals"]?["refused"] == 800)
    #expect(try await traces.statistics()["totals"]?["sessions"] == 40)
    #expect(try await traces.sessions().allSatisfy { $0["refused"] == 20 })
    #expect(try await projector.backlog() == 0)
  }

  @Test("reads on over a kind of event that another version wrote")
  func unknownKind() async throws {
    let traces = try await TraceFixture()
    try await traces.storage.commit([
      Statement("INSERT INTO trace_events (at, kind, payload) VALUES (1, 'from_the_future', '{}')")
    ])
    try await traces.begin("inp_1", "x")
    try await traces.project()
    #expect(try await traces.ids() == ["inp_1"])
  }

  /// Stores an event's payload as nobody writes it.
  private func damage(_ traces: TraceFixture, _ payload: String, at seconds: Int = 0) async throws {
    try await traces.storage.commit([
      Statement(
        """
        INSERT INTO trace_events (at, kind, mas_id, user_input_id, app_id, payload)
        VALUES ($1, 'call_refused', $2, 'inp_1', $3, $4)
        """,
        [
          .integer((TraceFixture.start + .seconds(seconds)).milliseconds), .text(TraceFixture.mas.rawValue),
          .text(TraceFixture.agent.rawValue), .text(payload),
        ])
    ])
  }

  @Test(
    "leaves out an event that can't be read, tells of it once, and reads on",
    arguments: ["not JSON", "", "3", "{\"a\":1,\"a\":2}", String(repeating: "[", count: 100)])
  func unreadable(payload: String) async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    try await damage(traces, payload)
    try await damage(traces, payload, at: 1)
    try await traces.begin("inp_2", "x", at: 2)
    try await traces.project()
    try await damage(traces, payload, at: 3)
    try await traces.project()
    #expect(try await traces.ids() == ["inp_2", "inp_1"])
    #expect(try await traces.projector.backlog() == 0)
    #expect(traces.projector.unreadableEvents == 3)
    let alerts = try await traces.alerts()
    #expect(alerts.count == 1)
    #expect(alerts.first?["kind"] == "trace_unreadable")
    #expect(alerts.first?["mas_id"]?.string == TraceFixture.mas.rawValue)
    #expect(alerts.first?["explanation"]?.string?.contains("event 2 of kind call_refused") == true)
    // Another day is told of anew.
    try await damage(traces, payload, at: 86_400)
    try await traces.project()
    #expect(try await traces.alerts().count == 2)
    // What lists events tells of it, and what of it can be read.
    let events = try await traces.reader.events(try TraceQuery([:], known: []), TraceFixture.everything).events
    #expect(events.map(\.isReadable) == [true, false, false, true, false, false])
    #expect(events[1].json["payload"] == ["unreadable": true])
    #expect(events[1].json["kind"] == "call_refused")
    let session = try await traces.reader.session(UserInputID("inp_1"), TraceFixture.everything)
    #expect(session?["events"]?.array?.count == 5)
  }

  @Test("leaves out only the event of which the database does not store what it tells")
  func unstorable() async throws {
    let traces = try await TraceFixture()
    let callee = "poison\u{0}"
    if !traces.storage.isShared {
      // SQLite stores the character.
      try await traces.storage.commit([
        Statement(
          """
          CREATE TRIGGER refusing BEFORE INSERT ON trace_edges WHEN NEW.callee LIKE 'poison%'
          BEGIN SELECT RAISE(ABORT, 'no'); END
          """)
      ])
    }
    func call(_ destination: String, at seconds: Int) -> TraceEvent {
      traces.event(
        .callRefused, "inp_1", TraceFixture.agent, at: seconds,
        ["direction": "egress", "destination": .string(destination), "reason": "r"])
    }
    try await traces.begin("inp_1", "x")
    for index in 0..<60 { try await traces.append(call(index == 7 || index == 41 ? callee : "bank", at: index)) }
    try await traces.project()
    #expect(try await traces.projector.backlog() == 0)
    #expect(try await traces.statistics()["totals"]?["refused"] == 58)
    #expect(try await traces.sessions().first?["refused"] == 58)
    #expect(traces.projector.unreadableEvents == 2)
    #expect(try await traces.alerts().map { $0["kind"]?.string } == ["trace_unreadable"])
  }

  @Test("goes on with a session whose line is damaged")
  func damagedSession() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    try await traces.project()
    try await traces.storage.commit([Statement("UPDATE trace_sessions SET summary = 'x'")])
    try await traces.append(traces.event(.callRefused, "inp_1", TraceFixture.bank, ["reason": "r"]))
    try await traces.project()
    #expect(try await traces.sessions().first?["refused"] == 1)
    #expect(try await traces.sessions().first?["reasons"] == ["r"])
  }

  @Test("counts what an event says no further than a report may")
  func hugeCounts() async throws {
    let traces = try await TraceFixture()
    let huge: [String: JSONValue] = ["direction": "ingress", "count": .number(9_007_199_254_740_991)]
    for _ in 0..<3 { try await traces.append(traces.event(.callAdmitted, nil, TraceFixture.bank, huge)) }
    try await traces.project()
    #expect(try await traces.statistics()["totals"]?["allowed"] == 3_000_000_000)
  }
}
