internal import CASACore
internal import Traces

extension Explorer {
  /// So many events come with each further page: few enough for a browser to take in without a pause.
  private static let furtherEvents = 500

  func session(_ id: UserInputID, _ query: [String: String], _ access: ReadAccess) async throws -> Page? {
    let after = query["after"]
    guard let found = try await data.session(id, isWhole: after == nil, access) else { return nil }
    let session = found["session"] ?? .null
    let apps = found["apps"] ?? .null
    let start = Timestamp(rfc3339: session.text("started_at"))
    var events = found.list("events")
    var next = found["next_after"]?.integer
    if let after {
      guard let sequence = Int64(after), sequence >= 0 else {
        throw InvalidField("after", expected: "the sequence number of an event")
      }
      let page = try await data.events(
        ["session": id.rawValue, "after": String(sequence), "limit": String(Self.furtherEvents)], access)
      events = page.list("events")
      next = events.count >= Self.furtherEvents ? events.last?["sequence"]?.integer : nil
    }
    let rows = events.map { EventRow(event: $0, apps: apps, start: start).view }
    let names = Rows.systems(try await data.systems(access), chosen: nil).names
    let flows = found.list("flows")
    let alerts = alertRows(found, names)
    let tokens = TokenTree(tokens: found.list("tokens"), apps: apps, now: clock.now()).views
    var view = Rows.session(session)
    view["whole"] = session.text("id")
    view["fullPrompt"] = session["prompt"]?.string
    view["trace"] = session.text("trace_id")
    view["rows"] = rows
    view["hasRows"] = !rows.isEmpty
    view["isFirst"] = after == nil
    view["timeline"] = Timeline(session: session, apps: apps, events: events, flows: flows).view
    view["tokens"] = tokens
    view["hasTokens"] = !tokens.isEmpty
    view["tokenCount"] = found.list("tokens").count
    view["flows"] = flows.prefix(500).map { flow($0, apps: apps, start: start) }
    view["flowCount"] = flows.count
    view["hasFlows"] = !flows.isEmpty
    view["alertRows"] = alerts
    view["last"] = events.last?["sequence"]?.integer.map { Int($0) } ?? 0
    view["shown"] = Decimal.grouped(rows.count)
    view["more"] = next.map { Link.to(Link.session(id.rawValue), [("after", String($0))]) }
    view["first"] = Link.session(id.rawValue)
    view["json"] = "/trace/sessions/" + Link.encode(id.rawValue)
    return Page(
      title: "Session \(Rows.shortID(id.rawValue))", template: "session", section: "/explorer/sessions", view: view,
      scripts: ["session.js"])
  }

  private func flow(_ flow: JSONValue, apps: JSONValue, start: Timestamp?) -> View {
    let name = { (id: String?) -> String in
      guard let id else { return "–" }
      return apps[id]?["name"]?.string ?? id
    }
    let opened = Timestamp(rfc3339: flow.text("opened_at"))
    let closed = flow["closed_at"]?.string.flatMap { Timestamp(rfc3339: $0) }
    let tokens = flow.list("tokens").prefix(20).map { token -> View in
      [
        "hash": Rows.hash(token.text("sha256")), "method": token.text("method"), "path": token.text("path"),
      ]
    }
    var view: View = [
      "flow": flow.text("flow"), "node": flow.text("node"),
      "app": name(flow["app_id"]?.string ?? flow["workload"]?.string),
      "peer": name(flow["peer_app_id"]?.string ?? flow["remote"]?.string), "remote": flow.text("remote"),
      "direction": flow.text("direction"), "isInbound": flow.text("direction") == "inbound",
      "out": Decimal.bytes(flow.count("bytes_out")), "in": Decimal.bytes(flow.count("bytes_in")),
      "tokens": Array(tokens), "hasTokens": !tokens.isEmpty, "isRefused": false,
    ]
    if let reason = flow["refused"]?.string {
      view["isRefused"] = true
      view["reason"] = reason
    }
    if let start, let opened {
      let milliseconds = Double(opened.milliseconds - start.milliseconds)
      view["offset"] = (milliseconds < 0 ? "" : "+") + Decimal.text(milliseconds / 1000, places: 3)
    }
    if let opened, let closed {
      view["took"] = Moment.duration(milliseconds: Double(closed.milliseconds - opened.milliseconds))
    } else {
      view["took"] = "open"
    }
    return view
  }
}
