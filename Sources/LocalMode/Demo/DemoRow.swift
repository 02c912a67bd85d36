import CASACore

/// One line of the demonstration's table, made of a trace event.
struct DemoRow: Sendable {
  enum Verdict: String, Sendable { case allowed, refused, seen }

  let hop: String
  let call: String
  let token: String
  let check: String
  let verdict: Verdict
  let reason: String
  let latencyMs: Double?

  static let columns = ["HOP", "CALL", "TOKEN", "CHECK", "VERDICT", "REASON", "MS"]

  var cells: [String] {
    let latency = latencyMs.map { String($0 < 0.1 ? $0 : ($0 * 10).rounded() / 10) } ?? ""
    return [hop, call, token, check, verdict.rawValue, reason, latency]
  }

  var json: JSONValue {
    [
      "hop": .string(hop), "call": .string(call), "token": .string(token), "check": .string(check),
      "verdict": .string(verdict.rawValue), "reason": .string(reason),
      "latency_ms": latencyMs.map(JSONValue.number) ?? .null,
    ]
  }

  /// The rows an event gives: one for each check of a decision, one for anything else, none for what the runtime
  /// does on its own.
  static func rows(of event: JSONValue, apps: [AppID: Name]) -> [DemoRow] {
    let payload = event["payload"] ?? [:]
    let app = event["app_id"]?.string.flatMap { id in apps[AppID(id)]?.text } ?? "?"
    let token = payload["token_sha256"]?.string.map { String($0.prefix(12)) } ?? ""
    let reason = payload["reason"]?.string ?? ""
    let latency: Double? = if case .number(let value)? = payload["latency_ms"] { value } else { nil }
    func row(
      _ hop: String, _ call: String, check: String = "", _ verdict: Verdict, reason: String = "", ms: Double? = nil
    ) -> DemoRow {
      DemoRow(hop: hop, call: call, token: token, check: check, verdict: verdict, reason: reason, latencyMs: ms)
    }
    switch event["kind"]?.string {
    case "token_issued": return [row("\(app) → runtime", "T1 for the prompt", .allowed)]
    case "token_exchanged", "exchange_refused":
      let isRefused = event["kind"]?.string == "exchange_refused"
      let name = tokenName(payload["scope"]?.string)
      let tool = payload["call"]?["tool"]?.string
      let call = tool.map { "\(name) for \($0)" } ?? name
      let checks = payload["decision"]?["checks"]?.array ?? []
      if checks.isEmpty {
        return [row("\(app) → runtime", call, isRefused ? .refused : .allowed, reason: reason, ms: latency)]
      }
      return checks.map { check in
        let isAllowed = check["answer"]?.string == "allow"
        let latency: Double? = if case .number(let value)? = check["latency_ms"] { value } else { nil }
        return row(
          "\(app) → runtime", call, check: check["check"]?.string ?? "", isAllowed ? .allowed : .refused,
          reason: isAllowed ? "" : check["reason"]?.string ?? "", ms: latency)
      }
    case "llm_call":
      let tools = (payload["selections"]?.array ?? []).compactMap { $0["tool"]?.string }
      return [row("LLM → \(app)", tools.isEmpty ? "answers" : "selects " + tools.joined(separator: ", "), .seen)]
    case "token_spent": return [row("→ \(app)", "T3 used up", .allowed)]
    case "spend_refused": return [row("→ \(app)", "T3 used up", .refused, reason: reason)]
    case "call_admitted", "call_refused":
      let isRefused = event["kind"]?.string == "call_refused"
      // The runtime's own look at a server's tools belongs to no session.
      guard isRefused || event["user_input_id"]?.string != nil else { return [] }
      let destination = payload["destination"]?.string ?? "?"
      let hop = payload["direction"]?.string == "egress" ? "\(app) → \(destination)" : "→ \(app)"
      let call = [payload["method"]?.string, payload["tool"]?.string].compactMap(\.self).joined(separator: " ")
      return [row(hop, call, isRefused ? .refused : .allowed, reason: reason, ms: latency)]
    default: return []
    }
  }

  private static func tokenName(_ scope: String?) -> String {
    switch scope {
    case Scope.llmAccess.rawValue: "T2"
    case Scope.callTools.rawValue: "T3"
    default: "T1 for the next hop"
    }
  }
}
