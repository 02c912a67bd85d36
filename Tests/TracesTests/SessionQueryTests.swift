import AgentProtocols
import CASACore
import Testing

@testable import Traces

@Suite("Sessions of the trace")
struct SessionQueryTests {
  private func refusal(_ session: String, _ tool: String, _ reason: String, at seconds: Int = 1) -> TraceEvent {
    TraceEvent(
      .exchangeRefused, at: TraceFixture.start + .seconds(seconds), masID: TraceFixture.mas,
      userInputID: UserInputID(session), appID: TraceFixture.agent,
      payload: [
        "reason": .string(reason), "error": "access_denied", "call": ["tool": .string(tool), "server": "bank"],
        "decision": [
          "decision_id": .string("dec_" + session), "verdict": "refuse",
          "checks": [["check": "ARGUMENT_GROUNDING", "answer": "block", "latency_ms": .number(2.0)]],
        ],
      ])
  }

  @Test("are found by system, app, tool, verdict, reason, time and the words of the prompt, the newest first")
  func filters() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "Transfer 25 EUR for dinner", at: 0)
    try await traces.begin("inp_2", "What is my balance?", at: 100)
    try await traces.begin("inp_3", "Buy dinner", at: 200, in: TraceFixture.otherMAS)
    try await traces.append(
      refusal("inp_1", "transfer_money", "tool_not_selected_by_llm"),
      traces.event(
        .callAdmitted, "inp_2", TraceFixture.bank, at: 101,
        ["direction": "ingress", "destination": "bank", "method": "tools/call", "tool": "get_balance"]))
    try await traces.project()
    #expect(try await traces.ids() == ["inp_3", "inp_2", "inp_1"])
    #expect(try await traces.ids(["mas_id": "mas_bank"]) == ["inp_2", "inp_1"])
    #expect(try await traces.ids(["app_id": "app_agent"]) == ["inp_1"])
    #expect(try await traces.ids(["tool": "get_balance"]) == ["inp_2"])
    #expect(try await traces.ids(["verdict": "refused"]) == ["inp_1"])
    #expect(try await traces.ids(["verdict": "allowed"]) == ["inp_3", "inp_2"])
    #expect(try await traces.ids(["reason": "tool_not_selected_by_llm"]) == ["inp_1"])
    #expect(try await traces.ids(["text": "DINNER"]) == ["inp_3", "inp_1"])
    #expect(try await traces.ids(["text": "dinner transfer"]) == ["inp_1"])
    #expect(try await traces.ids(["text": "dinner", "mas_id": "mas_shop"]) == ["inp_3"])
    #expect(try await traces.ids(["text": "din"]) == [])
    let from = (TraceFixture.start + .seconds(50)).rfc3339
    let to = (TraceFixture.start + .seconds(150)).rfc3339
    #expect(try await traces.ids(["from": from, "to": to]) == ["inp_2"])
    let told = try #require(try await traces.sessions(["tool": "get_balance"]).first)
    #expect(told["allowed"] == 1)
    #expect(told["refused"] == 0)
    #expect(told["events"] == 2)
    #expect(told["mas"] == "bank")
    #expect(told["prompt"] == "What is my balance?")
    #expect(told["tools"] == ["get_balance"])
  }

  @Test("come in pages that go on where the last one ended, whatever comes meanwhile")
  func pages() async throws {
    let traces = try await TraceFixture()
    for number in 0..<25 { try await traces.begin("inp_\(number)", "one", at: number) }
    try await traces.project()
    var seen: [String] = []
    var before: String?
    repeat {
      var parameters = ["limit": "10", "text": "one"]
      parameters["before"] = before
      let query = try TraceQuery(parameters, known: TraceReader.sessionParameters)
      let page = try await traces.reader.sessions(query, TraceFixture.everything)
      seen += page["sessions"]?.array?.compactMap { $0["id"]?.string } ?? []
      before = page["next"]?.string
      try await traces.begin("inp_later_\(seen.count)", "one", at: 100)
      try await traces.project()
    } while before != nil
    #expect(seen == (0..<25).reversed().map { "inp_\($0)" })
  }

  @Test("are told only to whoever may read their system, and prompts only with that right")
  func access() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "secret plan")
    try await traces.begin("inp_2", "secret plan", in: TraceFixture.otherMAS)
    try await traces.append(
      traces.event(.eventsLost, nil, nil, in: nil, ["count": 3]),
      traces.event(.eventsLost, nil, nil, in: TraceFixture.otherMAS, ["count": 3]))
    try await traces.project()
    let bank = ReadAccess(name: "bank's", systems: [TraceFixture.mas], readsPrompts: false)
    #expect(try await traces.ids([:], bank) == ["inp_1"])
    #expect(try await traces.ids(["mas_id": "mas_shop"], bank) == [])
    #expect(try await traces.sessions([:], bank).first?["prompt"] == .null)
    await #expect(throws: InvalidField.self) { try await traces.sessions(["text": "secret"], bank) }
    #expect(try await traces.reader.session(UserInputID("inp_2"), bank) == nil)
    #expect(try await traces.reader.session(UserInputID("inp_1"), bank)?["session"]?["prompt"] == .null)
    #expect(try await traces.reader.session(UserInputID("inp_2"), TraceFixture.everything) != nil)
    #expect(try await traces.alerts(bank) == [])
    #expect(try await traces.alerts().count == 2)
    let query = try TraceQuery([:], known: [])
    #expect(try await traces.reader.events(query, bank).events.compactMap(\.userInputID?.rawValue) == ["inp_1"])
    let found = try await traces.reader.search("inp_2", bank)
    #expect(found["sessions"] == [])
    #expect(try await traces.reader.search("secret", bank)["sessions"] == [])
    #expect(try await traces.reader.search("shop", bank)["systems"] == [])
    #expect(try await traces.statistics([:], bank)["totals"]?["sessions"] == 1)
    #expect(try await traces.statistics(["mas_id": "mas_shop"], bank)["totals"]?["sessions"] == 0)
    #expect(try await traces.statistics()["totals"]?["sessions"] == 2)
    let nothing = ReadAccess(name: "nobody", systems: [], readsPrompts: true)
    #expect(try await traces.ids([:], nothing) == [])
  }

  @Test("hide what a check judged from whoever may not read prompts, in events as in sessions")
  func judgements() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "x")
    try await traces.append(
      traces.event(
        .tokenExchanged, "inp_1", TraceFixture.agent,
        [
          "decision": [
            "decision_id": "dec_1",
            "checks": [
              [
                "check": "A", "answer": "allow", "explanation": "the user wants secret", "judged": "secret",
                "latency_ms": 1,
              ],
              ["check": "B", "answer": "allow", "explanation": "plain", "latency_ms": 1],
            ],
          ]
        ]))
    try await traces.project()
    let blind = ReadAccess(name: "blind", systems: nil, readsPrompts: false)
    let query = try TraceQuery([:], known: [])
    for (access, isShown) in [(TraceFixture.everything, true), (blind, false)] {
      let session = try #require(try await traces.reader.session(UserInputID("inp_1"), access))
      let events = try await traces.reader.events(query, access).events.map(\.json)
      for text in [session.canonicalText, JSONValue.array(events).canonicalText] {
        #expect(text.contains("secret") == isShown)
        #expect(text.contains("plain"))
        #expect(text.contains("dec_1"))
      }
    }
  }

  @Test("refuse filters that are unknown or wrong, rather than leaving them out")
  func badFilters() {
    for parameters in [
      ["colour": "red"], ["verdict": "maybe"], ["limit": "0"], ["limit": "1001"], ["before": "-1"], ["before": "x"],
      ["from": "yesterday"], ["from": "2026-02-30T00:00:00Z"], ["to": "253402300800000"], ["to": "9223372036854775807"],
      ["from": "-1"],
      ["tool": ""], ["mas_id": "a b"],
      ["from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"],
    ] {
      #expect(throws: InvalidField.self) { try TraceQuery(parameters, known: TraceReader.sessionParameters) }
    }
  }

  @Test("are found by id, trace, token, decision, tool, reason and words")
  func search() async throws {
    let traces = try await TraceFixture()
    try await traces.begin("inp_1", "Transfer money")
    let hash = TraceFixture.hash("a")
    try await traces.append(
      traces.event(
        .tokenIssued, "inp_1", TraceFixture.client,
        ["token_sha256": .string(hash), "scope": "user-input", "expires_at": "x"]),
      refusal("inp_1", "transfer_money", "tool_intent_mismatch"))
    try await traces.begin("inp_2", "Other")
    try await traces.project()
    for text in ["inp_1", hash, "dec_inp_1", "transfer_money", "tool_intent_mismatch", "money"] {
      let found = try await traces.reader.search(text, TraceFixture.everything)
      #expect(found["sessions"]?.array?.compactMap { $0["id"]?.string } == ["inp_1"], "\(text)")
    }
    let token = try await traces.reader.search(hash, TraceFixture.everything)["tokens"]?.array?.first
    #expect(token?["user_input_id"] == "inp_1")
    let names = try await traces.reader.search("ban", TraceFixture.everything)
    #expect(names["systems"]?.array?.count == 1)
    #expect(names["apps"]?.array?.count == 1)
    for hostile in ["'; DROP TABLE trace_sessions; --", "%", "\u{0}", String(repeating: "a", count: 10_000), ""] {
      #expect(try await traces.reader.search(hostile, TraceFixture.everything)["sessions"] == [])
    }
    #expect(try await traces.ids().count == 2)
  }
}
