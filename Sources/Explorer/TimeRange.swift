internal import CASACore

/// Which time a page is about: so long until now, or from and to.
struct TimeRange {
  static let presets: [(name: String, label: String, duration: Duration)] = [
    ("15m", "15 min", .seconds(900)), ("1h", "1 h", .seconds(3600)), ("24h", "24 h", .seconds(86_400)),
    ("7d", "7 d", .seconds(604_800)), ("30d", "30 d", .seconds(2_592_000)),
  ]

  let preset: String?
  let from: String?
  let to: String?

  /// - Throws: `InvalidField`
  init(_ query: [String: String], now: Timestamp, preset standard: String?) throws(InvalidField) {
    let from = try Self.moment("from", query)
    let to = try Self.moment("to", query)
    if from != nil || to != nil {
      (preset, self.from, self.to) = (nil, from, to)
      return
    }
    guard let name = query["range"] ?? standard else {
      (preset, self.from, self.to) = (nil, nil, nil)
      return
    }
    guard let known = Self.presets.first(where: { $0.name == name }) else {
      throw InvalidField("range", expected: "one of " + Self.presets.map(\.name).joined(separator: ", "))
    }
    (preset, self.from, self.to) = (name, (now - known.duration).rfc3339, nil)
  }

  /// A browser's date and time field gives `2026-01-31T12:00`, which is taken as UTC.
  private static func moment(_ name: String, _ query: [String: String]) throws(InvalidField) -> String? {
    guard let text = query[name] else { return nil }
    for candidate in [text, text + "Z", text + ":00Z"] {
      if let time = Timestamp(rfc3339: candidate) { return time.rfc3339 }
    }
    throw InvalidField(name, expected: "a time in UTC such as 2026-01-31T12:00:00Z")
  }

  /// What is asked of the trace.
  var query: [String: String] {
    var query: [String: String] = [:]
    query["from"] = from
    query["to"] = to
    return query
  }

  /// What stands in the page's own links.
  var parameters: [(String, String?)] { preset != nil ? [("range", preset)] : [("from", from), ("to", to)] }

  /// The values of the form's fields: `2026-01-31T12:00:00`.
  func fields(now: Timestamp) -> View {
    var view: View = ["from": "", "to": ""]
    if preset == nil {
      view["from"] = from.map { String($0.prefix(19)) } ?? ""
      view["to"] = to.map { String($0.prefix(19)) } ?? ""
    }
    return view
  }

  /// Links to the ranges that one click chooses.
  func choices(_ path: String, _ others: [(String, String?)]) -> [View] {
    Self.presets.map { choice in
      [
        "label": choice.label, "href": Link.to(path, [("range", choice.name)] + others),
        "current": choice.name == preset,
      ]
    }
  }
}
