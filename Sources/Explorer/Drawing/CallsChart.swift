internal import CASACore

/// Calls over time as a chart of bars: allowed ones above the line, refused ones below it.
struct CallsChart {
  /// Of the drawing, in its own units; it is stretched to the place there is.
  private static let width = 1000.0
  private static let height = 100.0

  /// More are not drawn.
  private static let maximumBuckets = 500

  let view: View

  /// All buckets of the time range, in order: the trace tells only those in which something happened.
  private static func buckets(of statistics: JSONValue) -> [JSONValue] {
    let told = Array(statistics.list("calls").prefix(maximumBuckets))
    let step = Int64(statistics.count("bucket_seconds")) * 1000
    guard step > 0, let from = Timestamp(rfc3339: statistics.text("from")),
      let to = Timestamp(rfc3339: statistics.text("to")), from < to,
      (to.milliseconds - from.milliseconds) / step < Int64(maximumBuckets)
    else { return told }
    let times = told.compactMap { Timestamp(rfc3339: $0.text("at"))?.milliseconds }
    // The first one may begin before the range does, and all are whole steps apart.
    let start = min(times.min() ?? from.milliseconds, from.milliseconds / step * step)
    let count = Int((max(to.milliseconds - 1, times.max() ?? 0) - start) / step) + 1
    guard count <= maximumBuckets else { return told }
    var counts = Array(repeating: (allowed: 0, refused: 0), count: count)
    for bucket in told {
      guard let time = Timestamp(rfc3339: bucket.text("at")) else { continue }
      let index = Int((time.milliseconds - start) / step)
      guard counts.indices.contains(index) else { continue }
      counts[index].allowed += bucket.count("allowed")
      counts[index].refused += bucket.count("refused")
    }
    return counts.enumerated().map { index, count in
      [
        "at": .string(Timestamp(milliseconds: start + Int64(index) * step).rfc3339),
        "allowed": .number(Double(count.allowed)), "refused": .number(Double(count.refused)),
      ]
    }
  }

  init(_ statistics: JSONValue) {
    let buckets = Self.buckets(of: statistics)
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
    let labels = ticks.filter { $0 >= 0 && $0 < buckets.count && seen.insert($0).inserted }.compactMap {
      index -> View? in
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
