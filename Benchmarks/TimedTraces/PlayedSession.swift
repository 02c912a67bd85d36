import CASACore
import Storage
import Traces

/// What a runtime commits for one session of about thirty events, as those of the demonstration are.
struct PlayedSession {
  /// In their order, each durable before the next begins.
  private(set) var units: [[Statement]] = []
  private(set) var events = 0

  private let number: Int
  private let system: Int
  private let session: UserInputID
  private let trace: TraceID
  private let keepsTokens: Bool
  private var random: SeededGenerator
  private var now: Timestamp
  private var unit: [Statement] = []

  /// - Parameter keepsTokens: whether the rows are made which a runtime deletes when their tokens have expired.
  init(_ number: Int, beginsAt start: Timestamp, keepsTokens: Bool) {
    self.number = number
    self.keepsTokens = keepsTokens
    random = SeededGenerator(seed: number)
    system = random.skewed(Systems.count)
    session = Self.id(number)
    trace = TraceID(random.hex(16)) ?? .random()
    now = start
    play()
  }

  static func id(_ number: Int) -> UserInputID {
    let digits = String(number)
    return UserInputID("inp_01a2" + String(repeating: "0", count: 28 - digits.count) + digits)
  }

  /// A word that this session's prompt alone has.
  static func rareWord(_ number: Int) -> String { "invoice\(number)" }

  /// Number 0 is in every tenth prompt or so, number 4,999 hardly in one of 40,000.
  static func word(_ number: Int) -> String {
    let syllables = [
      "ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve", "wi", "xo", "zu", "ka", "le",
    ]
    return syllables[number % 17] + syllables[number / 17 % 17] + syllables[number / 289 % 17] + "n"
  }

  static let words = 4913

  // MARK: The course of a session

  private var client: AppID { Systems.client(system) }
  private var agent: AppID { Systems.agent(system) }

  private mutating func play() {
    let userToken = random.hex(32)
    begin(token: userToken)
    call(from: client, to: "agent", of: agent, "message/send", token: userToken)
    let llmToken = random.hex(32)
    exchange(userToken, for: llmToken, "llm-access", by: agent, payload: [:])
    let server = random.skewed(Systems.servers.count)
    let serverToken = random.hex(32)
    exchange(userToken, for: serverToken, "user-input", by: agent, payload: [:])
    call(
      from: agent, to: Systems.servers[server], of: Systems.server(server, of: system), "tools/list", token: serverToken
    )
    let isSeen = random.happens(0.15)
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let tool = Systems.tools[server][random.skewed(Systems.tools[server].count)]
      ask(token: llmToken, tool: tool)
      if random.happens(0.1) {
        refuse(tool, at: server, userToken)
      } else {
        carryOut(tool, at: server, userToken, isSeen: isSeen)
      }
    }
    ask(token: llmToken, tool: nil)
  }

  private mutating func begin(token: String) {
    let hash = random.hex(32)
    var words = (0..<Int.random(in: 6...14, using: &random)).map { _ in Self.word(random.skewed(Self.words)) }
    words.append(Self.rareWord(number))
    let text = words.joined(separator: " ")
    unit.append(
      Statement(
        """
        INSERT INTO user_inputs (id, mas_id, app_id, trace_id, text, sha256, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
          .text(session.rawValue), .text(Systems.system(system).rawValue), .text(client.rawValue), .text(trace.text),
          .text(text), .text(hash), .integer(now.milliseconds),
        ], expectedChanges: 1))
    record(.userInputReceived, client, ["sha256": .string(hash), "bytes": .number(Double(text.utf8.count))])
    insertToken(token, "user-input", by: client, parent: nil)
    record(.tokenIssued, client, describe(token, "user-input", by: nil, parent: nil))
    commit()
  }

  /// A call seen at both ends.
  private mutating func call(
    from caller: AppID, to name: String, of callee: AppID, _ method: String, token: String, tool: String? = nil,
    decision: String? = nil
  ) {
    var payload: [String: JSONValue] = [
      "correlated_by": "traceparent", "destination": .string(name), "direction": "egress",
      "latency_ms": latency(10), "method": .string(method), "token_sha256": .string(token),
    ]
    if let tool { payload["tool"] = .string(tool) }
    if let decision { payload["decision_id"] = .string(decision) }
    record(.callAdmitted, caller, payload)
    payload["direction"] = "ingress"
    payload["correlated_by"] = nil
    payload["decision_id"] = nil
    record(.callAdmitted, callee, payload)
    commit()
  }

  /// The LLM is asked, and answers with a tool or without.
  private mutating func ask(token: String, tool: String?) {
    let hash = random.hex(32)
    if keepsTokens {
      let id = "llm_" + random.hex(16)
      unit.append(
        Statement(
          "INSERT INTO llm_calls (id, user_input_id, app_id, recorded_at) VALUES ($1, $2, $3, $4)",
          [.text(id), .text(session.rawValue), .text(agent.rawValue), .integer(now.milliseconds)], expectedChanges: 1))
      if let tool {
        unit.append(
          Statement(
            """
            INSERT INTO selections (id, user_input_id, app_id, tool, arguments_sha256, recorded_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            [
              .text(id + "-0"), .text(session.rawValue), .text(agent.rawValue), .text(tool), .text(hash),
              .integer(now.milliseconds),
            ], expectedChanges: 1))
      }
    }
    record(
      .llmCall, agent,
      [
        "token_sha256": .string(token),
        "selections": tool.map { [["tool": .string($0), "arguments_sha256": .string(hash)]] } ?? [],
      ])
    record(
      .callAdmitted, agent,
      [
        "correlated_by": "traceparent", "destination": "llm", "direction": "egress", "latency_ms": latency(800),
        "method": "chat/completions", "token_sha256": .string(token),
      ])
    commit()
  }

  private mutating func carryOut(_ tool: String, at server: Int, _ userToken: String, isSeen: Bool) {
    let (token, decision, name) = (random.hex(32), "dec_" + random.hex(16), Systems.servers[server])
    let app = Systems.server(server, of: system)
    let binding = binding(tool, name)
    exchange(
      userToken, for: token, "call-tools", by: agent,
      payload: ["call": binding, "decision": self.decision(decision, tool, name, blocks: nil)])
    if keepsTokens {
      unit.append(
        Statement(
          """
          INSERT INTO spent_tokens (jti, expires_at) SELECT $1, $2
          WHERE EXISTS (SELECT 1 FROM tokens WHERE jti = $3 AND revoked_at IS NULL)
          """, [jti(token), .integer((now + .seconds(300)).milliseconds), jti(token)], expectedChanges: 1))
    }
    record(.tokenSpent, app, ["call": binding, "token_sha256": .string(token)])
    commit()
    if isSeen { seeFlow(from: agent, to: app, token) }
    call(from: agent, to: name, of: app, "tools/call", token: token, tool: tool, decision: decision)
    record(
      .toolResult, agent,
      [
        "bytes": 325, "server": .string(name), "sha256": .string(random.hex(32)), "token_sha256": .string(token),
        "tool": .string(tool), "truncated": false, "unread": [],
      ])
    commit()
  }

  private mutating func refuse(_ tool: String, at server: Int, _ userToken: String) {
    let (id, name) = ("dec_" + random.hex(16), Systems.servers[server])
    let reason = Self.reasons[random.skewed(Self.reasons.count)]
    record(
      .exchangeRefused, agent,
      [
        "call": binding(tool, name), "decision": decision(id, tool, name, blocks: reason), "error": "access_denied",
        "explanation": .string("the call of \(tool) was refused"), "reason": .string(reason), "scope": "call-tools",
        "subject_token_sha256": .string(userToken),
      ])
    commit()
    record(
      .callRefused, agent,
      [
        "correlated_by": "traceparent", "decision_id": .string(id), "destination": .string(name),
        "direction": "egress", "explanation": .string("the call of \(tool) was refused"), "latency_ms": latency(10),
        "method": "tools/call", "reason": .string(reason), "tool": .string(tool),
      ])
    commit()
  }

  static let reasons = [
    "tool_selection_not_from_llm", "tool_does_not_match_user_input", "ungrounded_argument", "no_llm_calls_made_by_app",
    "session_locked",
  ]

  /// A node sees the connection and the token in it; one in a hundred goes where it should not.
  private mutating func seeFlow(from caller: AppID, to callee: AppID, _ token: String) {
    let node = 1 + random.skewed(8)
    let flow = random.hex(8)
    let base: [String: JSONValue] = [
      "workload": "pod/agent", "peer_app_id": .string(callee.rawValue), "direction": "outbound",
      "remote": "10.0.3.17:8080", "flow": .string(flow), "protocol": "tcp", "node": .string("node-\(node)"),
      "node_id": .string("node_01a220bbc13b6d5cb863071d65f\(node)"),
    ]
    func key(_ kind: String) -> String { "flow node_\(node) \(flow)-\(kind)" }
    record(.flowOpened, caller, base, key: key("opened"))
    record(
      .tokenSeen, caller,
      base.merging(["token_sha256": .string(token), "known": true, "method": "POST", "path": "/mcp"]) { $1 },
      key: key("seen"))
    record(
      .flowClosed, caller, base.merging(["bytes_out": 1811, "bytes_in": 922, "duration_ms": 48]) { $1 },
      key: key("closed"))
    if random.happens(0.01) {
      record(
        .tokenExfiltration, caller,
        base.merging([
          "reason": "token_to_wrong_recipient", "explanation": "agent sent a token to an address it was not issued for",
          "token_sha256": .string(token),
        ]) { $1 }, key: key("exfiltration"))
    }
    commit()
  }

  // MARK: Parts

  private mutating func exchange(
    _ subject: String, for token: String, _ scope: String, by app: AppID, payload: [String: JSONValue]
  ) {
    insertToken(token, scope, by: app, parent: subject)
    var all = describe(token, scope, by: app, parent: subject)
    all["latency_ms"] = latency(3)
    record(.tokenExchanged, app, all.merging(payload) { $1 })
    commit()
  }

  private func jti(_ token: String) -> SQLValue { .text("tok_" + token.prefix(32)) }

  private mutating func insertToken(_ token: String, _ scope: String, by app: AppID, parent: String?) {
    guard keepsTokens else { return }
    var arguments: [SQLValue] = [
      jti(token), .text(token), parent.map(jti) ?? .null, .text(Systems.system(system).rawValue),
      .text(session.rawValue), .text(app.rawValue), .text(scope), .integer(now.milliseconds),
      .integer((now + .seconds(300)).milliseconds), .text(agent.rawValue),
    ]
    let columns =
      "jti, sha256, parent_jti, mas_id, user_input_id, client_id, scope, issued_at, expires_at, addressee_id"
    guard let parent else {
      unit.append(
        Statement(
          "INSERT INTO tokens (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", arguments,
          expectedChanges: 1))
      return
    }
    arguments.append(jti(parent))
    unit.append(
      Statement(
        """
        INSERT INTO tokens (\(columns)) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
        WHERE EXISTS (SELECT 1 FROM tokens WHERE jti = $11 AND revoked_at IS NULL)
        """, arguments, expectedChanges: 1))
  }

  private func describe(_ token: String, _ scope: String, by app: AppID?, parent: String?) -> [String: JSONValue] {
    [
      "actors": app.map { [.string($0.rawValue)] } ?? [],
      "audience": [
        .string("urn:casa:mas:" + Systems.system(system).rawValue), .string("urn:casa:app:" + agent.rawValue),
      ],
      "expires_at": .string((now + .seconds(300)).rfc3339), "scope": .string(scope),
      "subject_token_sha256": parent.map(JSONValue.string) ?? .null, "token_sha256": .string(token),
    ]
  }

  private mutating func binding(_ tool: String, _ server: String) -> JSONValue {
    [
      "arguments_sha256": .string(random.hex(32)), "server": .string(server), "tool": .string(tool),
      "type": "mcp_tool_call",
    ]
  }

  private mutating func latency(_ typical: Double) -> JSONValue {
    .number((Double.random(in: typical / 2...typical * 2, using: &random) * 1000).rounded() / 1000)
  }

  /// Five checks that allow it, or four of which the last blocks.
  private mutating func decision(_ id: String, _ tool: String, _ server: String, blocks reason: String?) -> JSONValue {
    var checks: [JSONValue] = [
      [
        "answer": "allow", "check": "DETERMINISTIC_TOOL_SELECTED", "latency_ms": latency(0.007),
        "explanation": .string("\(server) offers \(tool) as it was approved and the token grants it"),
      ],
      [
        "answer": "allow", "check": "DETERMINISTIC_LLM_SELECTED_TOOLS", "latency_ms": latency(0.01),
        "explanation": .string("the LLM selected \(tool) with these arguments"),
      ],
      [
        "answer": "allow", "check": "DETERMINISTIC_TOOL_ARGUMENTS", "latency_ms": latency(0.02),
        "explanation": "the arguments are those that the approved definition has",
      ],
    ]
    if let reason {
      checks.append([
        "answer": "block", "check": "ARGUMENT_GROUNDING", "latency_ms": latency(0.3), "reason": .string(reason),
        "explanation": .string("the call of \(tool) does not come from what the user asked for"),
      ])
    } else {
      checks.append([
        "answer": "allow", "check": "ARGUMENT_GROUNDING", "latency_ms": latency(0.3),
        "explanation": "the tool only reads",
      ])
      checks.append([
        "answer": "allow", "check": "AI_POWERED_TOOL_MATCH", "latency_ms": latency(1.3),
        "explanation": .string("what \(tool) does fits what the user asked for"),
        "judged": .string("\(tool): Get the account holder, IBAN, current balance and currency of the user's account."),
        "model": "all-MiniLM-L6-v2", "score": .number(1.3238), "threshold": .number(-2.2505),
      ])
    }
    return [
      "checks": .array(checks), "decision_id": .string(id), "reason": reason.map(JSONValue.string) ?? .null,
      "verdict": reason == nil ? "allow" : "refuse",
    ]
  }

  private mutating func record(
    _ kind: TraceEvent.Kind, _ app: AppID, _ payload: [String: JSONValue], key: String? = nil
  ) {
    let event = TraceEvent(
      kind, at: now, masID: Systems.system(system), userInputID: session, traceID: trace, appID: app, payload: payload)
    unit.append(
      key.map { TraceLog.insertion(of: event, idempotencyKey: $0) } ?? TraceLog.insertion(of: event))
    events += 1
    now = now + .milliseconds(Int.random(in: 1...30, using: &random))
  }

  private mutating func commit() {
    guard !unit.isEmpty else { return }
    units.append(unit)
    unit = []
  }
}
