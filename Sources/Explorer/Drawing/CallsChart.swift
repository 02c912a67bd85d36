internal import CASACore

/// Calls over time as a chart of bars: allowed ones above the line, refused ones below it.
struct CallsChart {
  /// Of the drawing, in its own units; it is stretched to the place there is.
  private static let width = 1000.0
  private static let height = 100.0

  let view: View

  init(_ statistics: JSONValue) {
    let buckets = statistics.list("calls")
    let mostAllowed = buckets.map { $0.count("allowed") }.max() ?? 0
    let mostRefused = buckets.map { $0.count("refused") }.max() ?? 0
    // Both sides have one scale, or the few refusals would look like many; each keeps some room.
    let most = Double(max(1, mostAllowed + mostRefused))
    let above = mostRefused == 0 ? Self.height : Self.height * max(0.15, min(0.9, Double(mostAllowed) / most))
    let scale = min(
      mostAllowed == 0 ? .infinity : above / Double(mostAllowed),
      mostRefused == 0 ? .infinity : (Self.height - above) / Double(mostRefused))
    let slot = Self.width / Double(max(1, buckets.count))
    let bars = buckets.enumerated().map { index, bucket -> View in
      let allowed = bucket.count("allowed")
      let refused = bucket.count("refused")
      // One call is to be seen beside a thousand.
      let up = allowed == 0 ? 0 : max(1.5, Double(allowed) * scale)
      let down = refused == 0 ? 0 : max(1.5, Double(refused) * scale)
      let time = Timestamp(rfc3339: bucket.text("at")).map(Moment.full) ?? bucket.text("at")
      return [
        "x": Decimal.coordinate(Double(index) * slot + slot * 0.1), "width": Decimal.coordinate(max(0.5, slot * 0.8)),
        "slotX": Decimal.coordinate(Double(index) * slot), "slotWidth": Decimal.coordinate(slot),
        "upY": Decimal.coordinate(above - up), "up": Decimal.coordinate(up), "downY": Decimal.coordinate(above),
        "down": Decimal.coordinate(down), "time": time, "allowed": Decimal.grouped(allowed),
        "refused": Decimal.grouped(refused), "hasAllowed": allowed > 0, "hasRefused": refused > 0,
        "isEmpty": allowed + refused == 0,
      ]
    }
    let totalAllowed = buckets.reduce(0) { $0 + $1.count("allowed") }
    let totalRefused = buckets.reduce(0) { $0 + $1.count("refused") }
    let ticks = [0, buckets.count / 4, buckets.count / 2, buckets.count * 3 / 4, buckets.count - 1]
    var seen: Set<Int> = []
    let labels = ticks.filter { $0 >= 0 && $0 < buckets.count && seen.insert($0).inserted }.compactMap { index -> View? in
      guard let time = Timestamp(rfc3339: buckets[index].text("at")) else { return nil }
      let full = Moment.full(time)
      let isLong = statistics.count("bucket_seconds") >= 7200
      return ["text": isLong ? String(full.dropFirst(5).prefix(11)) : String(full.dropFirst(11).prefix(5))]
    }
    view = [
      "bars": bars, "labels": labels, "base": Decimal.coordinate(above), "most": Decimal.grouped(mostAllowed),
      "mostRefused": Decimal.grouped(mostRefused), "totalAllowed": Decimal.grouped(totalAllowed),
      "totalRefused": Decimal.grouped(totalRefused), "isEmpty": totalAllowed + totalRefused == 0,
      "bucket": Moment.duration(milliseconds: Double(statistics.count("bucket_seconds")) * 1000),
      "hasRefusedSide": mostRefused > 0,
    ]
  }
}
