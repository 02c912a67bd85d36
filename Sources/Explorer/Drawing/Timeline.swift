internal import CASACore

/// A session at one glance: a lane for each app with a mark for each event, and beneath, on the same axis of time, a
/// bar for each connection the kernel saw.
struct Timeline {
  /// Of a lane, in pixels. Across, everything is in per cent of the place there is.
  private static let laneHeight = 26.0
  private static let flowHeight = 14.0
  private static let maximumFlows = 24
  /// Marks closer than this, in per cent, are drawn as one; the more serious one shows.
  private static let resolution = 0.5

  let view: View

  init(session: JSONValue, apps: JSONValue, events: [JSONValue], flows: [JSONValue]) {
    let times = events.compactMap { Timestamp(rfc3339: $0.text("at")) }
    let ends = [session.text("started_at"), session.text("last_at")].compactMap { Timestamp(rfc3339: $0) }
    let opened = flows.compactMap { Timestamp(rfc3339: $0.text("opened_at")) }
    let closed = flows.compactMap { Timestamp(rfc3339: $0.text("closed_at")) }
    let all = (times + ends + opened + closed).map(\.milliseconds)
    let start = all.min() ?? 0
    let span = Double(max(1, (all.max() ?? 0) - start))
    // Room at both ends, so that no mark is cut.
    let position = { (time: Timestamp) in 1 + 98 * Double(time.milliseconds - start) / span }

    var lanes: [(id: String, marks: [Int: (rank: Int, view: View, count: Int)])] = []
    for event in events {
      let row = EventRow(event: event, apps: apps, start: nil)
      guard let time = Timestamp(rfc3339: event.text("at")) else { continue }
      let app = event["app_id"]?.string ?? ""
      if !lanes.contains(where: { $0.id == app }) { lanes.append((app, [:])) }
      guard let lane = lanes.firstIndex(where: { $0.id == app }) else { continue }
      let x = position(time)
      let cell = Int(x / Self.resolution)
      let (rank, tone): (Int, String) =
        switch row.verdict {
        case .alert: (3, "alert")
        case .refused: (2, "refused")
        case .allowed: (1, "allowed")
        case .noted: (0, "noted")
        }
      let count = (lanes[lane].marks[cell]?.count ?? 0) + 1
      if let known = lanes[lane].marks[cell], known.rank >= rank {
        lanes[lane].marks[cell]?.count = count
        continue
      }
      let (title, subject) = row.words
      lanes[lane].marks[cell] = (
        rank,
        [
          "x": Decimal.text(x, places: 2), "tone": tone, "isAlert": rank == 3, "isRefused": rank == 2,
          "isAllowed": rank == 1, "isNoted": rank == 0, "href": "#event-\(event.count("sequence"))",
          "title": subject.isEmpty ? title : title + ": " + subject,
          "offset": Moment.duration(milliseconds: Double(time.milliseconds - start)),
        ], count
      )
    }

    var y = 0.0
    let laneViews = lanes.prefix(24).map { lane -> View in
      let marks = lane.marks.sorted { $0.key < $1.key }.map { $0.value }.map { mark -> View in
        var view = mark.view
        view["y"] = Decimal.coordinate(y + Self.laneHeight / 2)
        view["others"] = mark.count > 1 ? " and \(mark.count - 1) more" : ""
        return view
      }
      let view: View = [
        "name": lane.id.isEmpty ? "runtime" : apps[lane.id]?["name"]?.string ?? Rows.shortID(lane.id), "marks": marks,
        "y": Decimal.coordinate(y + Self.laneHeight / 2),
      ]
      y += Self.laneHeight
      return view
    }
    let top = y
    if !flows.isEmpty { y += 6 }
    let bars = flows.prefix(Self.maximumFlows).compactMap { flow -> View? in
      guard let open = Timestamp(rfc3339: flow.text("opened_at")) else { return nil }
      let close = flow["closed_at"]?.string.flatMap { Timestamp(rfc3339: $0) }
      let x = position(open)
      let width = max(0.4, (close.map(position) ?? 100) - x)
      let name = { (id: String?) in id.map { apps[$0]?["name"]?.string ?? $0 } }
      let one = name(flow["app_id"]?.string) ?? flow.text("workload")
      let other = name(flow["peer_app_id"]?.string) ?? flow.text("remote")
      let view: View = [
        "x": Decimal.text(x, places: 2), "width": Decimal.text(width, places: 2),
        "y": Decimal.coordinate(y + 3), "middle": Decimal.coordinate(y + Self.flowHeight / 2),
        "isRefused": flow["refused"]?.string != nil, "tone": flow["refused"]?.string != nil ? "refused" : "flow",
        "title": flow.text("direction") == "inbound" ? "\(other) → \(one)" : "\(one) → \(other)",
      ]
      y += Self.flowHeight
      return view
    }
    let ticks = (0...4).map { index -> View in
      let x = 1 + 98 * Double(index) / 4
      return [
        "x": Decimal.text(x, places: 2),
        "label": index == 0 ? "0" : Moment.duration(milliseconds: span * Double(index) / 4),
        "place": index == 0 ? "first" : index == 4 ? "last" : "middle",
      ]
    }
    view = [
      "lanes": Array(laneViews), "flows": Array(bars), "ticks": ticks, "height": Decimal.coordinate(max(y, 1)),
      "hasFlows": !bars.isEmpty, "flowY": Decimal.coordinate(top + 6), "hasLanes": !laneViews.isEmpty,
      "moreFlows": max(0, flows.count - Self.maximumFlows), "hasMoreFlows": flows.count > Self.maximumFlows,
    ]
  }
}
