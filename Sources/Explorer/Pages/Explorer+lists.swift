internal import CASACore
internal import Traces

// The dashboard and the pages that list.
extension Explorer {
  func dashboard(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    let now = clock.now()
    let range = try TimeRange(query, now: now, preset: "24h")
    let mas = query["mas_id"]
    var filter = range.query
    filter["mas_id"] = mas
    let statistics = try await data.statistics(filter, access)
    let systems = Rows.systems(try await data.systems(access), chosen: mas)
    var latest = filter
    latest["limit"] = "8"
    let alerts = try await data.alerts(latest, access)
    let totals = statistics["totals"] ?? .null
    let others: [(String, String?)] = [("mas_id", mas)]
    let sessionLink = Link.to("/explorer/sessions", range.parameters + others)
    let tile = { (label: String, name: String, href: String, tone: String) -> View in
      ["label": label, "value": Decimal.grouped(totals.count(name)), "href": href, "tone": tone]
    }
    let most = max(1, statistics.list("reasons").map { $0.count("count") }.max() ?? 1)
    let slowest = max(0.001, statistics.list("checks").compactMap { $0["p95_ms"]?.number }.max() ?? 0.001)
    let checks = statistics.list("checks").sorted {
      ($0["p95_ms"]?.number ?? 0) > ($1["p95_ms"]?.number ?? 0)
    }
    let milliseconds = { (value: JSONValue?) -> String in
      value?.number.map { Decimal.text($0, places: $0 < 10 ? 2 : 1) } ?? "–"
    }
    var view: View = [
      "tiles": [
        tile("Systems", "systems", "/explorer/systems", "plain"), tile("Apps", "apps", "/explorer/systems", "plain"),
        tile("Sessions", "sessions", sessionLink, "plain"),
        tile(
          "Calls allowed", "allowed",
          Link.to("/explorer/sessions", [("verdict", "allowed")] + range.parameters + others), "allowed"),
        tile(
          "Calls refused", "refused",
          Link.to("/explorer/sessions", [("verdict", "refused")] + range.parameters + others), "refused"),
        tile("Alerts", "alerts", Link.to("/explorer/alerts", range.parameters + others), "alert"),
        tile("Flows", "flows", sessionLink, "plain"),
      ],
      "choices": range.choices("/explorer", others), "range": range.fields(now: now), "systems": systems.options,
      "hasSystems": !systems.options.isEmpty, "mas": mas ?? "",
      "chart": CallsChart(statistics).view,
      "reasons": statistics.list("reasons").prefix(12).map { reason -> View in
        [
          "reason": reason.text("reason"), "count": Decimal.grouped(reason.count("count")),
          "width": Decimal.coordinate(100 * Double(reason.count("count")) / Double(most)),
          "href": Link.to("/explorer/sessions", [("reason", reason.text("reason"))] + range.parameters + others),
        ]
      },
      "checks": checks.prefix(12).map { check -> View in
        let p95 = check["p95_ms"]?.number ?? 0
        return [
          "check": check.text("check"), "count": Decimal.grouped(check.count("count")),
          "blocked": Decimal.grouped(check.count("blocked")), "hasBlocked": check.count("blocked") > 0,
          "mean": milliseconds(check["mean_ms"]), "p50": milliseconds(check["p50_ms"]),
          "p95": milliseconds(check["p95_ms"]), "width": Decimal.coordinate(100 * p95 / slowest),
        ]
      },
      "alertRows": alertRows(alerts, systems.names),
      "alertsHref": Link.to("/explorer/alerts", range.parameters + others),
    ]
    view["hasReasons"] = !statistics.list("reasons").isEmpty
    view["hasChecks"] = !statistics.list("checks").isEmpty
    view["hasAlerts"] = !alerts.list("alerts").isEmpty
    return Page(title: "Dashboard", template: "dashboard", section: "/explorer", view: view)
  }

  func alertRows(_ alerts: JSONValue, _ names: [String: String]) -> [View] {
    alerts.list("alerts").map { alert in
      var row = Rows.alert(alert)
      row["system"] = names[alert.text("mas_id")] ?? alert.text("mas_id")
      return row
    }
  }

  func systems(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    let grid = query["view"] == "grid"
    if let view = query["view"], view != "grid", view != "list" {
      throw InvalidField("view", expected: "list or grid")
    }
    let rows = try await data.systems(access).list("systems").map { system -> View in
      var row: View = [
        "name": system.text("name"), "href": Link.system(system.text("id")), "id": Rows.shortID(system.text("id")),
        "apps": Decimal.grouped(system.count("apps")), "checks": system.list("enabled_tool_checks").count,
        "sessions": Decimal.grouped(system.count("sessions")), "allowed": Decimal.grouped(system.count("allowed")),
        "refused": Decimal.grouped(system.count("refused")), "hasRefused": system.count("refused") > 0,
        "alerts": Decimal.grouped(system.count("alerts")), "hasAlerts": system.count("alerts") > 0,
      ]
      row["created"] = Moment.view(system.text("created_at"))
      return row
    }
    return Page(
      title: "Systems", template: "systems", section: "/explorer/systems",
      view: ["rows": rows, "isGrid": grid, "hasRows": !rows.isEmpty, "count": rows.count])
  }

  func sessions(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    let now = clock.now()
    let range = try TimeRange(query, now: now, preset: nil)
    if let verdict = query["verdict"], verdict != "allowed", verdict != "refused" {
      throw InvalidField("verdict", expected: "allowed or refused")
    }
    let names = ["mas_id", "app_id", "tool", "verdict", "reason", "text"]
    var filter = range.query
    for name in names + ["before"] { filter[name] = query[name] }
    filter["limit"] = "50"
    let found = try await data.sessions(filter, access)
    let systems = Rows.systems(try await data.systems(access), chosen: query["mas_id"])
    var apps: [View] = []
    if let id = query["mas_id"].flatMap({ MASID(validating: $0) }), let system = try await data.system(id, access) {
      apps = Rows.options(
        system.list("apps").map { ($0.text("id"), $0.text("name")) }, chosen: query["app_id"])
    }
    let filters: [(String, String?)] = names.map { ($0, query[$0]) } + range.parameters
    let rows = found.list("sessions").map(Rows.session)
    var view: View = [
      "rows": rows, "hasRows": !rows.isEmpty, "systems": systems.options, "apps": apps, "hasApps": !apps.isEmpty,
      "verdicts": Rows.options([("allowed", "allowed"), ("refused", "refused")], chosen: query["verdict"]),
      "tool": query["tool"] ?? "", "reason": query["reason"] ?? "", "text": query["text"] ?? "",
      "range": range.fields(now: now), "choices": range.choices("/explorer/sessions", names.map { ($0, query[$0]) }),
      "isFiltered": filters.contains { $0.1 != nil }, "count": rows.count,
    ]
    if let name = range.preset { view["preset"] = name }
    if apps.isEmpty, let app = query["app_id"] { view["appID"] = app }
    view["older"] = found["next"]?.string.map { Link.to("/explorer/sessions", filters + [("before", $0)]) }
    if query["before"] != nil { view["newest"] = Link.to("/explorer/sessions", filters) }
    return Page(title: "Sessions", template: "sessions", section: "/explorer/sessions", view: view)
  }

  func alerts(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    let now = clock.now()
    let range = try TimeRange(query, now: now, preset: nil)
    var filter = range.query
    for name in ["mas_id", "kind", "before"] { filter[name] = query[name] }
    filter["limit"] = "50"
    let found = try await data.alerts(filter, access)
    let systems = Rows.systems(try await data.systems(access), chosen: query["mas_id"])
    let rows = alertRows(found, systems.names)
    let filters: [(String, String?)] = [("mas_id", query["mas_id"]), ("kind", query["kind"])] + range.parameters
    var view: View = [
      "alertRows": rows, "hasRows": !rows.isEmpty, "systems": systems.options, "kind": query["kind"] ?? "",
      "range": range.fields(now: now), "isFiltered": filters.contains { $0.1 != nil }, "count": rows.count,
      "choices": range.choices("/explorer/alerts", [("mas_id", query["mas_id"]), ("kind", query["kind"])]),
    ]
    if let name = range.preset { view["preset"] = name }
    view["older"] = found["next"]?.string.map { Link.to("/explorer/alerts", filters + [("before", $0)]) }
    if query["before"] != nil { view["newest"] = Link.to("/explorer/alerts", filters) }
    return Page(title: "Alerts", template: "alerts", section: "/explorer/alerts", view: view)
  }

  func live(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    let systems = Rows.systems(try await data.systems(access), chosen: query["mas_id"])
    // From here on nothing is missed, however long the stream takes to be there.
    let start = try await data.lastEvent()
    let kinds = EventRow.groups.map { (value: $0.kinds.joined(separator: ","), label: $0.label) }
    return Page(
      title: "Live", template: "live", section: "/explorer/live",
      view: ["systems": systems.options, "kinds": Rows.options(kinds, chosen: nil), "start": String(start)],
      scripts: ["live.js"])
  }

  func search(_ query: [String: String], _ access: ReadAccess) async throws -> Page {
    guard let text = query["q"] else {
      return Page(title: "Search", template: "search", view: ["query": "", "asked": false])
    }
    guard text.utf8.count <= 512 else { throw InvalidField("q", expected: "at most 512 bytes") }
    let found = try await data.search(text, access)
    let sessions = found.list("sessions").prefix(100).map(Rows.session)
    let tokens = found.list("tokens").prefix(100).map { token -> View in
      let id = token["user_input_id"]?.string
      let hash = token.text("sha256")
      var row: View = [
        "hash": Rows.hash(hash), "label": TokenTree.label(token.text("scope")), "scope": token.text("scope"),
      ]
      row["href"] = id.map { Link.session($0) + "#token-" + hash }
      row["issued"] = Moment.view(token.text("issued_at"))
      return row
    }
    let systems = found.list("systems").prefix(100).map { system -> View in
      ["name": system.text("name"), "href": Link.system(system.text("id")), "id": Rows.shortID(system.text("id"))]
    }
    let apps = found.list("apps").prefix(100).map { app -> View in
      [
        "name": app.text("name"), "kind": Rows.words(app.text("kind")),
        "href": Link.system(app.text("mas_id")) + "#app-" + Link.encode(app.text("id")),
        "id": Rows.shortID(app.text("id")),
      ]
    }
    return Page(
      title: "Search", template: "search",
      view: [
        "query": text, "asked": true, "rows": Array(sessions), "hasSessions": !sessions.isEmpty,
        "tokens": Array(tokens), "hasTokens": !tokens.isEmpty, "systems": Array(systems),
        "hasSystems": !systems.isEmpty, "apps": Array(apps), "hasApps": !apps.isEmpty,
        "found": !(sessions.isEmpty && tokens.isEmpty && systems.isEmpty && apps.isEmpty),
        "count": sessions.count + tokens.count + systems.count + apps.count,
      ])
  }
}
