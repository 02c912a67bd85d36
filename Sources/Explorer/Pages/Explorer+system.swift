internal import AgentProtocols
internal import CASACore
internal import Traces

extension Explorer {
  func system(_ id: MASID, _ query: [String: String], _ access: ReadAccess) async throws -> Page? {
    guard let system = try await data.system(id, access) else { return nil }
    let range = try TimeRange(query, now: clock.now(), preset: "24h")
    var filter = range.query
    filter["mas_id"] = id.rawValue
    let graph = CallGraph(try await data.graph(filter, access))
    let settings = system["settings"] ?? .null
    let enabled = settings.strings("enabled_tool_checks")
    let apps = system.list("apps").map { app -> View in
      var row: View = [
        "name": app.text("name"), "kind": Rows.words(app.text("kind")), "id": app.text("id"),
        "short": Rows.shortID(app.text("id")), "url": app["base_url"]?.string ?? "–",
        "methods": app.strings("allowed_methods").joined(separator: ", "),
        "hasMethods": !app.strings("allowed_methods").isEmpty,
        "authentication": app.strings("token_endpoint_auth_methods").joined(separator: ", "),
        "scopes": Self.scopes(of: app.text("kind")),
        "sessionsHref": Link.to(
          "/explorer/sessions", [("mas_id", id.rawValue), ("app_id", app.text("id"))]),
      ]
      row["created"] = Moment.view(app.text("created_at"))
      return row
    }
    let tools = system.list("tools").map { Self.tool($0, system: id.rawValue) }
    var view: View = [
      "name": system.text("name"), "id": id.rawValue, "checks": enabled, "hasChecks": !enabled.isEmpty,
      "allowsUndecided": settings["allow_undecided"]?.bool == true,
      "settings": settings.prettyLines.joined(separator: "\n"), "apps": apps, "hasApps": !apps.isEmpty,
      "tools": tools, "hasTools": !tools.isEmpty, "changed": tools.count { $0["isChanged"] as? Bool == true },
      "graph": graph.view, "hasGraph": !graph.isEmpty, "choices": range.choices(Link.system(id.rawValue), []),
      "hasChanged": tools.contains { $0["isChanged"] as? Bool == true },
      "sessionsHref": Link.to("/explorer/sessions", [("mas_id", id.rawValue)]),
      "alertsHref": Link.to("/explorer/alerts", [("mas_id", id.rawValue)]),
    ]
    view["created"] = Moment.view(system.text("created_at"))
    if let policy = system["policy"], policy != .null {
      view["policy"] = policy.prettyLines.joined(separator: "\n")
    }
    return Page(
      title: system.text("name"), template: "system", section: "/explorer/systems", view: view, scripts: ["graph.js"])
  }

  /// Which tokens an app of this kind is given.
  private static func scopes(of kind: String) -> String {
    switch kind {
    case "client": "user-input"
    case "agent": "user-input, llm-access, call-tools"
    case "mcp_server": "accepts call-tools"
    default: "–"
    }
  }

  private static func tool(_ tool: JSONValue, system: String) -> View {
    let status = tool.text("status")
    let pinned = tool["pinned_sha256"]?.string
    let seen = tool["seen_sha256"]?.string
    let definition = tool["definition"] ?? .null
    let old = tool["pinned_definition"].flatMap { $0 == .null ? nil : $0 }
    var view: View = [
      "name": tool.text("name"), "app": tool.text("app"), "effect": tool["effect"]?.string ?? "–", "status": status,
      "isChanged": status != "pinned", "hasDifference": false,
      "description": Rows.excerpt(definition["description"]?.string, characters: 240) ?? "",
      "definition": definition.prettyLines.joined(separator: "\n"),
      "sessionsHref": Link.to("/explorer/sessions", [("mas_id", system), ("tool", tool.text("name"))]),
    ]
    if let pinned { view["pinned"] = Rows.hash(pinned) }
    if let seen, seen != pinned { view["seen"] = Rows.hash(seen) }
    if let old, old != definition {
      let difference = LineDifference(from: old.prettyLines, to: definition.prettyLines)
      view["hasDifference"] = true
      view["difference"] = difference.lines.map { line -> View in
        let (mark, words) =
          switch line.change {
          case .same: (" ", "")
          case .removed: ("−", "removed: ")
          case .added: ("+", "added: ")
          }
        return ["mark": mark, "words": words, "text": line.text, "change": line.change.rawValue]
      }
    }
    return view
  }
}
