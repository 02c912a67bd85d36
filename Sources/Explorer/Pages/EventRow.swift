internal import CASACore

/// One trace event as a row of a timeline: what happened, whether it was let through, and why.
struct EventRow {
  enum Verdict: String { case allowed, refused, alert, noted }

  static let groups: [(label: String, kinds: [String])] = [
    ("Refusals", ["exchange_refused", "spend_refused", "call_refused", "flow_refused"]),
    ("Calls", ["call_admitted", "call_refused"]),
    (
      "Tokens",
      ["token_issued", "token_exchanged", "exchange_refused", "token_spent", "spend_refused", "token_revoked"]
    ),
    ("LLM and tool results", ["llm_call", "tool_result"]),
    ("Flows", ["flow_opened", "flow_closed", "flow_refused", "flows_lost", "token_seen", "workload_left"]),
    (
      "Administration", ["configuration_changed", "tools_discovered", "tools_approved", "signing_key_rotated"]
    ),
  ]

  let event: JSONValue
  let apps: JSONValue
  /// Where the session's time begins.
  let start: Timestamp?

  private var payload: JSONValue { event["payload"] ?? .null }
  private var kind: String { event.text("kind") }

  var verdict: Verdict {
    switch kind {
    case "exchange_refused", "spend_refused", "call_refused", "flow_refused": .refused
    case "token_exfiltration", "events_lost", "flows_lost": .alert
    case "call_admitted": .allowed
    case "token_exchanged": payload["decision"] == nil ? .noted : .allowed
    default: .noted
    }
  }

  func appName(_ id: String?) -> String? {
    guard let id, !id.isEmpty else { return nil }
    return apps[id]?["name"]?.string ?? id
  }

  private var tool: String? {
    if let call = payload["call"] { return [call.text("server"), call.text("tool")].joined(separator: " · ") }
    guard let tool = payload["tool"]?.string else { return nil }
    return [payload["server"]?.string ?? payload["destination"]?.string, tool].compactMap(\.self)
      .joined(separator: " · ")
  }

  /// What happened, in a few words, and the name or number it happened with.
  var words: (title: String, subject: String) {
    let scope = payload.text("scope")
    switch kind {
    case "user_input_received": return ("User input received", Decimal.bytes(payload.count("bytes")))
    case "token_issued": return ("\(TokenTree.label(scope)) issued", scope)
    case "token_exchanged":
      return tool.map { ("Tool call allowed", $0) } ?? ("\(TokenTree.label(scope)) issued in exchange", scope)
    case "exchange_refused": return tool.map { ("Tool call refused", $0) } ?? ("Exchange refused", scope)
    case "token_spent": return ("\(TokenTree.label("call-tools")) used", tool ?? "")
    case "spend_refused": return ("Use of a token refused", tool ?? "")
    case "llm_call":
      let selected = payload.list("selections").map { $0.text("tool") }
      return selected.isEmpty
        ? ("LLM answered", "selects no tool") : ("LLM selected", selected.prefix(8).joined(separator: ", "))
    case "tool_result": return ("Tool answered", [tool, size].compactMap(\.self).joined(separator: ", "))
    case "call_admitted", "call_refused":
      let way = payload.text("direction") == "ingress" ? "Incoming" : "Outgoing"
      let what = tool ?? payload.text("destination")
      let method = payload.text("method")
      return (
        "\(way) call \(kind == "call_admitted" ? "admitted" : "refused")",
        [method, what].filter { !$0.isEmpty }.joined(separator: " → ")
      )
    case "flow_opened", "flow_closed", "flow_refused":
      return (Rows.words(kind), payload["remote"]?.string ?? payload.text("destination"))
    case "token_seen": return ("Token seen in a flow", payload.text("path"))
    case "configuration_changed": return ("Configuration changed", Rows.words(payload.text("change")))
    case "tools_discovered", "tools_approved":
      return (Rows.words(kind), payload.list("tools").map { $0.text("name") }.prefix(8).joined(separator: ", "))
    default: return (Rows.words(kind), "")
    }
  }

  private var size: String? { payload["bytes"]?.integer.map { Decimal.bytes(Int($0)) } }

  var view: View {
    let sequence = event.count("sequence")
    let (title, subject) = words
    let verdict = verdict
    var view: View = [
      "sequence": sequence, "verdict": verdict.rawValue, "isRefused": verdict == .refused,
      "isAllowed": verdict == .allowed, "isAlert": verdict == .alert, "title": title, "subject": subject,
      "kind": kind, "hasVerdict": verdict != .noted,
    ]
    view["at"] = Moment.view(event.text("at"))
    if let start, let at = Timestamp(rfc3339: event.text("at")) {
      view["offset"] = "+" + Decimal.text(Double(at.milliseconds - start.milliseconds) / 1000, places: 3)
    }
    if let app = appName(event["app_id"]?.string) { view["app"] = app }
    if let latency = payload["latency_ms"]?.number { view["latency"] = Moment.duration(milliseconds: latency) }
    if let count = payload["count"]?.integer, count > 1 { view["times"] = "× \(Decimal.grouped(Int(count)))" }
    if let hash = payload["token_sha256"]?.string ?? payload["subject_token_sha256"]?.string {
      view["token"] = Rows.hash(hash)
    }
    let decision = payload["decision"]
    let reason = decision?["reason"]?.string ?? payload["reason"]?.string
    if let reason { view["reason"] = reason }
    if let explanation = payload["explanation"]?.string { view["explanation"] = explanation }
    if let decision { view["decision"] = Self.decision(decision) }
    view["facts"] = facts
    return view
  }

  private static func decision(_ decision: JSONValue) -> View {
    var view: View = [
      "id": decision.text("decision_id"),
      "checks": decision.list("checks").map { check -> View in
        let answer = check.text("answer")
        var row: View = [
          "check": check.text("check"), "answer": answer, "isAllow": answer == "allow", "isBlock": answer == "block",
          "isOther": answer != "allow" && answer != "block", "explanation": check.text("explanation"),
          "latency": check["latency_ms"]?.number.map { Moment.duration(milliseconds: $0) } ?? "–",
        ]
        row["reason"] = check["reason"]?.string
        row["judged"] = check["judged"]?.string
        row["model"] = check["model"]?.string
        if let score = check["score"]?.number {
          row["score"] = Decimal.text(score, places: 3)
          if let threshold = check["threshold"]?.number { row["threshold"] = Decimal.text(threshold, places: 3) }
        }
        return row
      },
    ]
    view["verdict"] = decision.text("verdict")
    return view
  }

  /// The rest of what was recorded.
  private var facts: [View] {
    guard let members = payload.object else { return [] }
    return members.keys.sorted().compactMap { name -> View? in
      guard !["decision", "reason", "explanation"].contains(name), let value = members[name], value != .null else {
        return nil
      }
      let text: String =
        switch value {
        case .string(let text): appName(text) ?? text
        case .object, .array: value.prettyLines.joined(separator: "\n")
        default: value.prettyLines.joined()
        }
      return ["name": Rows.words(name), "value": text]
    } + identities
  }

  private var identities: [View] {
    [("Event", event["sequence"]?.integer.map { "\(kind), sequence \($0)" }), ("Trace id", event["trace_id"]?.string)]
      .compactMap { name, value in value.map { ["name": name, "value": $0] } }
  }
}
