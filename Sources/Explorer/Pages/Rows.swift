internal import CASACore

/// The rows that several pages share.
enum Rows {
  static func session(_ session: JSONValue) -> View {
    let reasons = session.strings("reasons")
    let id = session.text("id")
    var view: View = [
      "id": id, "href": Link.session(id), "short": shortID(id),
      "system": session["mas"]?.string ?? session.text("mas_id"), "systemHref": Link.system(session.text("mas_id")),
      "app": session["app"]?.string ?? session.text("app_id"),
      "allowed": Decimal.grouped(session.count("allowed")), "refused": Decimal.grouped(session.count("refused")),
      "alerts": Decimal.grouped(session.count("alerts")), "hasRefused": session.count("refused") > 0,
      "hasAlerts": session.count("alerts") > 0, "events": Decimal.grouped(session.count("events")),
      "tools": session.strings("tools").prefix(6).joined(separator: ", "),
      "moreTools": max(0, session.strings("tools").count - 6), "hasMoreTools": session.strings("tools").count > 6,
      "reasons": Array(reasons.prefix(4)), "hasReasons": !reasons.isEmpty,
    ]
    view["prompt"] = excerpt(session["prompt"]?.string)
    view["started"] = Moment.view(session.text("started_at"))
    if let start = Timestamp(rfc3339: session.text("started_at")),
      let end = Timestamp(rfc3339: session.text("last_at"))
    {
      view["took"] = Moment.duration(milliseconds: Double(end.milliseconds - start.milliseconds))
    }
    return view
  }

  static func alert(_ alert: JSONValue) -> View {
    let session = alert["user_input_id"]?.string
    let sequence = alert.count("sequence")
    var view: View = [
      "kind": words(alert.text("kind")), "reason": alert.text("reason"), "explanation": alert.text("explanation"),
      "system": alert.text("mas_id"), "systemHref": Link.system(alert.text("mas_id")),
      "hasReason": !alert.text("reason").isEmpty,
    ]
    view["at"] = Moment.view(alert.text("at"))
    if let session { view["href"] = Link.session(session) + "#event-\(sequence)" }
    return view
  }

  /// The beginning of a prompt, on one line.
  static func excerpt(_ text: String?, characters: Int = 160) -> String? {
    guard let text else { return nil }
    let line = String(text.prefix(characters + 1).map { $0.isNewline ? " " : $0 })
    return line.count > characters ? line.prefix(characters) + "…" : line
  }

  /// `token_exchanged` as words.
  static func words(_ name: String) -> String {
    let words = name.split(separator: "_").map { ["mcp", "llm"].contains($0) ? $0.uppercased() : String($0) }
    let text = words.joined(separator: " ")
    return text.prefix(1).uppercased() + text.dropFirst()
  }

  /// An identifier with its random middle left out.
  static func shortID(_ id: String) -> String {
    id.count > 14 ? id.prefix(4) + "…" + id.suffix(6) : id
  }

  /// A hash by its first eight digits, with the whole of it beside.
  static func hash(_ hash: String) -> View { ["short": String(hash.prefix(8)), "whole": hash] }

  /// `[id: name]` of the systems, and the choices of a form's field.
  static func systems(_ systems: JSONValue, chosen: String?) -> (names: [String: String], options: [View]) {
    var names: [String: String] = [:]
    var options: [View] = []
    for system in systems.list("systems") {
      let id = system.text("id")
      names[id] = system.text("name")
      options.append(["value": id, "label": system.text("name"), "selected": id == chosen])
    }
    return (names, options)
  }

  static func options(_ choices: [(value: String, label: String)], chosen: String?) -> [View] {
    choices.map { ["value": $0.value, "label": $0.label, "selected": $0.value == chosen] }
  }
}
