import CASACore

/// An event of the trace as a line for a person.
struct TraceLine {
  private let event: JSONValue
  /// Apps' names by id.
  private let names: [String: String]

  init(_ event: JSONValue, names: [String: String] = [:]) {
    self.event = event
    self.names = names
  }

  private func field(_ name: String) -> String? { event["payload"]?[name]?.string.map(Terminal.visible) }

  /// Time, kind, who, what, and the verdict where there is one.
  var text: String {
    let at = event["at"]?.string ?? ""
    let kind = event["kind"]?.string ?? ""
    let app = event["app_id"]?.string.map { names[$0] ?? $0 } ?? "-"
    var parts = [Terminal.quiet(Terminal.visible(at)), pad(Terminal.visible(kind), 22), pad(Terminal.visible(app), 12)]
    let call = event["payload"]?["call"]?["tool"]?.string.map(Terminal.visible)
    parts += [
      field("change"), field("direction"), field("destination"), field("method"), field("scope"), call ?? field("tool"),
      field("workload"), field("remote"),
    ].compactMap { $0 }
    if let selected = event["payload"]?["selections"]?.array, !selected.isEmpty {
      parts.append(
        "selects " + selected.compactMap { $0["tool"]?.string.map(Terminal.visible) }.joined(separator: ", "))
    }
    if let token = field("token_sha256") { parts.append(Terminal.quiet("token " + token.prefix(12))) }
    if let reason = field("reason") {
      parts.append(Terminal.refused("✗ " + reason))
      if let explanation = field("explanation") { parts.append(Terminal.quiet(explanation)) }
    } else if kind == "call_admitted" || kind == "token_exchanged" {
      parts.append(Terminal.allowed("✓"))
    }
    return parts.joined(separator: "  ")
  }

  /// What each check said, a line for each.
  var checks: [String] {
    (event["payload"]?["decision"]?["checks"]?.array ?? []).map { check in
      let answer = check["answer"]?.string ?? ""
      let name = Terminal.visible(check["check"]?.string ?? "")
      var line = "    \(pad(name, 34))  "
      line += answer == "allow" ? Terminal.allowed("✓ allow") : Terminal.refused("✗ " + Terminal.visible(answer))
      if let reason = check["reason"]?.string { line += " " + Terminal.visible(reason) }
      if let explanation = check["explanation"]?.string { line += "  " + Terminal.visible(explanation) }
      if case .number(let score) = check["score"], case .number(let threshold) = check["threshold"] {
        line += Terminal.quiet("  (\(score) of \(threshold))")
      }
      return line
    }
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
