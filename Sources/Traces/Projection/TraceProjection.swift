import AgentProtocols
import CASACore
import Storage

/// What some events add to that which is told of sessions, tokens, flows and numbers. A pure function of the events
/// and of the sessions as they were before.
struct TraceProjection {
  /// The sessions that the events belong to, as far as they are known.
  private(set) var sessions: [UserInputID: SessionRecord]
  /// The prompts of those that begin here.
  private let prompts: [UserInputID: String]
  private var changed: Set<UserInputID> = []
  private var facets: Set<SessionFacet> = []
  private var tokens: [[SQLValue]] = []
  private var sightings: [[SQLValue]] = []
  /// In the order of the events, which may concern the same token or flow.
  private var statements: [Statement] = []
  private var alerts: [TraceAlert] = []
  /// How many events could not be read.
  private(set) var unreadable = 0
  private var numbers = TraceNumbers()

  private struct SessionFacet: Hashable {
    let facet: Facet
    let session: Int64
  }

  init(sessions: [UserInputID: SessionRecord], prompts: [UserInputID: String]) {
    self.sessions = sessions
    self.prompts = prompts
  }

  /// What stores it all.
  func unit() -> [Statement] {
    var unit = SessionRecord.upserts(changed.compactMap { sessions[$0] })
    unit += Statement.insertions(
      into: "trace_facets", "facet, session", facets.map { [.text($0.facet.text), .integer($0.session)] },
      onConflict: "DO NOTHING")
    unit += Statement.insertions(
      into: "trace_tokens",
      """
      sha256, sequence, user_input_id, mas_id, parent_sha256, scope, app_id, audience, actors, tool, issued_at, expires_at
      """, tokens, onConflict: "DO NOTHING")
    unit += Statement.insertions(
      into: "trace_sightings",
      """
      sequence, node_id, node, flow, sha256, user_input_id, app_id, mas_id, at, direction, method, path, settled
      """, sightings, onConflict: "DO NOTHING")
    return unit + statements + alerts.map(\.insertion) + numbers.unit()
  }

  mutating func take(_ event: RecordedEvent) {
    begin(event)
    guard event.isReadable else { return leaveOut(event) }
    switch TraceEvent.Kind(rawValue: event.kind) {
    case .userInputReceived:
      numbers.count("session", event)
      if let text = event.userInputID.flatMap({ prompts[$0] }) {
        for word in Facet.words(of: text) { find(event, .word(word)) }
      }
    case .tokenIssued: takeToken(event)
    case .tokenExchanged:
      takeToken(event)
      takeDecision(event)
    case .exchangeRefused:
      takeDecision(event)
      takeLock(event)
      takeRefusal(event)
    case .tokenSpent: mark("spent_at", event)
    case .spendRefused: takeRefusal(event)
    case .tokenRevoked: markRevoked(event)
    case .llmCall:
      for selection in event.payload["selections"]?.array ?? [] { takeTool(selection["tool"], of: event) }
    case .callAdmitted: takeCall(event, isAllowed: true)
    case .callRefused: takeCall(event, isAllowed: false)
    case .flowOpened, .flowClosed, .flowRefused: takeFlow(event)
    case .tokenSeen: takeSighting(event)
    case .tokenExfiltration: raise(event, id: nil, reason: event.payload["reason"]?.string ?? "")
    case .eventsLost, .flowsLost: raise(event, id: nil, reason: event.kind)
    case .toolsDiscovered: takeTools(event)
    case .tokenIntrospected, .toolResult, .workloadLeft, .toolsApproved, .configurationChanged, .signingKeyRotated,
      .tracesPruned, nil:
      break
    }
  }

  /// Of what can't be read, or can't be stored as it was read, is only told that it is there: once a day, since
  /// whatever damages one event may damage thousands.
  mutating func leaveOut(_ event: RecordedEvent) {
    unreadable += 1
    let alert = TraceAlert(unreadable: event)
    guard !alerts.contains(where: { $0.id == alert.id }) else { return }
    alerts.append(alert)
    numbers.count("alert", event)
  }

  // MARK: Sessions

  private mutating func begin(_ event: RecordedEvent) {
    guard let id = event.userInputID else { return }
    if sessions[id] == nil {
      // Of one that was pruned, what comes late is only kept as an event.
      guard event.kind == TraceEvent.Kind.userInputReceived.rawValue, let record = SessionRecord(first: event) else {
        return
      }
      sessions[id] = record
    }
    changed.insert(id)
    sessions[id]?.events += 1
    sessions[id].map { sessions[id]?.lastAt = max($0.lastAt, event.at) }
    if let app = event.appID?.rawValue, sessions[id]?.insert(app: app) == true { find(event, .app(app)) }
  }

  private mutating func find(_ event: RecordedEvent, _ facet: Facet) {
    guard let number = event.userInputID.flatMap({ sessions[$0]?.number }) else { return }
    facets.insert(SessionFacet(facet: facet, session: number))
  }

  private mutating func takeTool(_ name: JSONValue?, of event: RecordedEvent) {
    guard let tool = name?.string else { return }
    if let id = event.userInputID, sessions[id]?.insert(tool: tool) == true { find(event, .tool(tool)) }
  }

  private mutating func takeRefusal(_ event: RecordedEvent, count: Int64 = 1) {
    let reason = event.payload["reason"]?.string ?? event.payload["error"]?.string ?? "unknown"
    numbers.count("refused", event, count)
    numbers.count("reason=" + reason, event, count)
    guard let id = event.userInputID else { return }
    sessions[id]?.refused += count
    // With the first refusal comes the first reason.
    guard sessions[id]?.insert(reason: reason) == true else { return }
    find(event, .refused)
    find(event, .reason(reason))
  }

  // MARK: Decisions

  private mutating func takeDecision(_ event: RecordedEvent) {
    takeTool(event.payload["call"]?["tool"], of: event)
    guard let decision = event.payload["decision"] else { return }
    if let id = decision["decision_id"]?.string { find(event, .decision(id)) }
    for check in decision["checks"]?.array ?? [] {
      guard let name = check["check"]?.string, let answer = check["answer"]?.string,
        case .number(let milliseconds) = check["latency_ms"]
      else { continue }
      numbers.count(check: name, answer: answer, milliseconds: milliseconds, event)
    }
  }

  /// A call is counted where it arrives, and one to an LLM where it leaves: each is seen at both ends. A refusal is
  /// counted where it happened, and one by the runtime is told by the sidecar too.
  private mutating func takeCall(_ event: RecordedEvent, isAllowed: Bool) {
    let payload = event.payload
    let count = event.count
    let isEgress = payload["direction"]?.string == "egress"
    takeTool(payload["tool"], of: event)
    if isAllowed {
      if !isEgress || payload["destination"]?.string == "llm" {
        numbers.count("allowed", event, count)
        if let id = event.userInputID { sessions[id]?.allowed += count }
      }
    } else if payload["decision_id"] == nil {
      takeRefusal(event, count: count)
    }
    guard let callee = payload["destination"]?.string else { return }
    // Who called is only known where the call leaves.
    if isEgress {
      numbers.count(edgeFrom: event.appID?.rawValue ?? "", to: callee, isAllowed: isAllowed, event, count)
    } else if !isAllowed {
      numbers.count(edgeFrom: "", to: callee, isAllowed: false, event, count)
    }
  }

  // MARK: Tokens

  private mutating func takeToken(_ event: RecordedEvent) {
    let payload = event.payload
    guard let hash = payload["token_sha256"]?.string, let scope = payload["scope"]?.string, let mas = event.masID,
      let app = event.appID
    else { return }
    tokens.append([
      .text(hash), .integer(event.sequence), .optional(event.userInputID?.rawValue), .text(mas.rawValue),
      .optional(payload["subject_token_sha256"]?.string), .text(scope), .text(app.rawValue),
      .text((payload["audience"] ?? []).canonicalText), .text((payload["actors"] ?? []).canonicalText),
      .optional(payload["call"]?["tool"]?.string), .integer(event.at.milliseconds),
      .text(payload["expires_at"]?.string ?? ""),
    ])
  }

  private mutating func mark(_ column: String, _ event: RecordedEvent) {
    guard let hash = event.payload["token_sha256"]?.string else { return }
    statements.append(
      Statement(
        "UPDATE trace_tokens SET \(column) = $1 WHERE sha256 = $2", [.integer(event.at.milliseconds), .text(hash)]))
  }

  /// With a token goes everything that was exchanged from it.
  private mutating func markRevoked(_ event: RecordedEvent) {
    guard let hash = event.payload["token_sha256"]?.string else { return }
    guard let session = event.userInputID else { return mark("revoked_at", event) }
    statements.append(
      Statement(
        """
        WITH RECURSIVE family (sha256) AS (
          SELECT sha256 FROM trace_tokens WHERE sha256 = $1
          UNION SELECT child.sha256 FROM trace_tokens child JOIN family ON child.parent_sha256 = family.sha256
          WHERE child.user_input_id = $2)
        UPDATE trace_tokens SET revoked_at = $3
        WHERE sha256 IN (SELECT sha256 FROM family) AND revoked_at IS NULL
        """, [.text(hash), .text(session.rawValue), .integer(event.at.milliseconds)]))
  }

  // MARK: Flows

  /// The events of one flow come in any order, and each adds what it knows.
  private mutating func takeFlow(_ event: RecordedEvent) {
    let payload = event.payload
    let isRefused = event.kind == TraceEvent.Kind.flowRefused.rawValue
    guard let node = payload["node_id"]?.string,
      let flow = payload["flow"]?.string ?? (isRefused ? payload["report_id"]?.string : nil)
    else { return }
    let isClosed = event.kind == TraceEvent.Kind.flowClosed.rawValue
    if isRefused {
      let count = event.count
      numbers.count("flow_refused", event, count)
      numbers.count("reason=" + (payload["reason"]?.string ?? "unknown"), event, count)
    } else if !isClosed {
      numbers.count("flow", event)
    }
    statements.append(
      Statement(
        """
        INSERT INTO trace_flows (node_id, flow, node, workload, app_id, mas_id, peer_app_id, direction, remote, opened_at,
          closed_at, seen_at, bytes_out, bytes_in, refused)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (node_id, flow) DO UPDATE SET
          opened_at = COALESCE(excluded.opened_at, trace_flows.opened_at),
          closed_at = COALESCE(excluded.closed_at, trace_flows.closed_at),
          peer_app_id = COALESCE(excluded.peer_app_id, trace_flows.peer_app_id),
          direction = COALESCE(excluded.direction, trace_flows.direction),
          remote = COALESCE(excluded.remote, trace_flows.remote),
          bytes_out = COALESCE(excluded.bytes_out, trace_flows.bytes_out),
          bytes_in = COALESCE(excluded.bytes_in, trace_flows.bytes_in),
          refused = COALESCE(excluded.refused, trace_flows.refused)
        """,
        [
          .text(node), .text(flow), .text(payload["node"]?.string ?? ""), .text(payload["workload"]?.string ?? ""),
          .optional(event.appID?.rawValue), .optional(event.masID?.rawValue),
          .optional(payload["peer_app_id"]?.string), .optional(payload["direction"]?.string),
          .optional(payload["remote"]?.string), isClosed ? .null : .integer(event.at.milliseconds),
          isClosed || isRefused ? .integer(event.at.milliseconds) : .null, .integer(event.at.milliseconds),
          .optional(payload["bytes_out"]?.integer), .optional(payload["bytes_in"]?.integer),
          isRefused ? .text(payload["reason"]?.string ?? "unknown") : .null,
        ]))
  }

  private mutating func takeSighting(_ event: RecordedEvent) {
    let payload = event.payload
    guard let node = payload["node_id"]?.string, let hash = payload["token_sha256"]?.string else { return }
    let isKnown = event.userInputID != nil || payload["known"]?.bool == true
    sightings.append([
      .integer(event.sequence), .text(node), .text(payload["node"]?.string ?? ""), .optional(payload["flow"]?.string),
      .text(hash), .optional(event.userInputID?.rawValue), .optional(event.appID?.rawValue),
      .optional(event.masID?.rawValue), .integer(event.at.milliseconds), .optional(payload["direction"]?.string),
      .optional(payload["method"]?.string), .optional(payload["path"]?.string), .integer(isKnown ? 1 : 0),
    ])
  }

  // MARK: Alerts

  private mutating func takeTools(_ event: RecordedEvent) {
    for tool in event.payload["tools"]?.array ?? [] {
      guard let status = tool["status"]?.string, ["modified", "unapproved"].contains(status),
        let name = tool["name"]?.string
      else { continue }
      let id = ["tool", event.appID?.rawValue ?? "", name, tool["seen_sha256"]?.string ?? ""].joined(separator: " ")
      alerts.append(
        TraceAlert(
          id: id, event: event, kind: "tool_" + status, reason: status,
          explanation: status == "modified"
            ? "\(name) is not defined any more as it was approved; no call of it passes until the new definition is approved"
            : "\(name) was added by its server; no call of it passes until its definition is approved"))
      numbers.count("alert", event)
    }
  }

  /// A locked session is told of once, however often it tries on.
  private mutating func takeLock(_ event: RecordedEvent) {
    let locked = RefusalReason.sessionLocked.rawValue
    guard event.payload["reason"]?.string == locked, let session = event.userInputID,
      sessions[session]?.reasons.contains(locked) == false
    else { return }
    raise(event, id: "locked " + session.rawValue, reason: locked)
  }

  private mutating func raise(_ event: RecordedEvent, id: String?, reason: String) {
    let explanation =
      event.payload["explanation"]?.string
      ?? event.payload["count"]?.integer.map { "\($0) of them were lost before they could be stored" } ?? ""
    let kind = id == nil ? event.kind : reason
    alerts.append(
      TraceAlert(
        id: id ?? "event \(event.sequence)", event: event, kind: kind, reason: reason, explanation: explanation))
    numbers.count("alert", event)
    if let session = event.userInputID { sessions[session]?.alerts += 1 }
  }
}
