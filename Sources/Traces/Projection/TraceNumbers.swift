import CASACore
import Storage

/// How often what happened, in buckets of a minute, an hour and six hours, for each system and for all: the longer the
/// span that is asked for, the coarser the buckets that are read.
struct TraceNumbers {
  static let minute: Int64 = 60
  static let hour: Int64 = 3600
  static let sixHours: Int64 = 6 * 3600

  private struct CountKey: Hashable {
    let resolution: Int64
    let mas: String
    let bucket: Int64
    let what: String
  }

  private struct CheckKey: Hashable {
    let resolution: Int64
    let mas: String
    let bucket: Int64
    let check: String
    let answer: String
    let latencyClass: Int64
  }

  private struct EdgeKey: Hashable {
    let mas: String
    let bucket: Int64
    let caller: String
    let callee: String
  }

  private var counts: [CountKey: Int64] = [:]
  private var checks: [CheckKey: (count: Int64, microseconds: Int64)] = [:]
  private var edges: [EdgeKey: (allowed: Int64, refused: Int64, lastAt: Int64)] = [:]

  /// The beginning of the bucket that a moment falls into, in milliseconds.
  static func bucket(_ at: Timestamp, resolution: Int64) -> Int64 {
    let length = resolution * 1000
    return at.milliseconds / length * length
  }

  mutating func count(_ what: String, _ event: RecordedEvent, _ number: Int64 = 1) {
    for resolution in [Self.minute, Self.hour, Self.sixHours] {
      let bucket = Self.bucket(event.at, resolution: resolution)
      for mas in Self.systems(of: event) {
        counts[CountKey(resolution: resolution, mas: mas, bucket: bucket, what: what), default: 0] += number
      }
    }
  }

  mutating func count(check: String, answer: String, milliseconds: Double, _ event: RecordedEvent) {
    let microseconds = min(max(milliseconds, 0), 1e9) * 1000
    let latencyClass = LatencyClass.containing(microseconds: microseconds)
    for resolution in [Self.hour, Self.sixHours] {
      let bucket = Self.bucket(event.at, resolution: resolution)
      for mas in Self.systems(of: event) {
        let key = CheckKey(
          resolution: resolution, mas: mas, bucket: bucket, check: check, answer: answer, latencyClass: latencyClass)
        checks[key, default: (0, 0)].count += 1
        checks[key, default: (0, 0)].microseconds += Int64(microseconds)
      }
    }
  }

  mutating func count(
    edgeFrom caller: String, to callee: String, isAllowed: Bool, _ event: RecordedEvent, _ number: Int64
  ) {
    guard let mas = event.masID else { return }
    let key = EdgeKey(
      mas: mas.rawValue, bucket: Self.bucket(event.at, resolution: Self.hour), caller: caller, callee: callee)
    var edge = edges[key] ?? (0, 0, 0)
    if isAllowed { edge.allowed += number } else { edge.refused += number }
    edge.lastAt = max(edge.lastAt, event.at.milliseconds)
    edges[key] = edge
  }

  /// '' stands for the sum over all.
  private static func systems(of event: RecordedEvent) -> [String] { ["", event.masID?.rawValue].compactMap { $0 } }

  func unit() -> [Statement] {
    Statement.insertions(
      into: "trace_counts", "resolution, mas_id, bucket, what, count",
      counts.map { key, count in
        [.integer(key.resolution), .text(key.mas), .integer(key.bucket), .text(key.what), .integer(count)]
      },
      onConflict: "(resolution, mas_id, bucket, what) DO UPDATE SET count = trace_counts.count + excluded.count")
      + Statement.insertions(
        into: "trace_checks", "resolution, mas_id, bucket, check_name, answer, latency_class, count, microseconds",
        checks.map { key, value in
          [
            .integer(key.resolution), .text(key.mas), .integer(key.bucket), .text(key.check), .text(key.answer),
            .integer(key.latencyClass), .integer(value.count), .integer(value.microseconds),
          ]
        },
        onConflict: """
          (resolution, mas_id, bucket, check_name, answer, latency_class) DO UPDATE SET
            count = trace_checks.count + excluded.count,
            microseconds = trace_checks.microseconds + excluded.microseconds
          """)
      + Statement.insertions(
        into: "trace_edges", "mas_id, bucket, caller, callee, allowed, refused, last_at",
        edges.map { key, edge in
          [
            .text(key.mas), .integer(key.bucket), .text(key.caller), .text(key.callee), .integer(edge.allowed),
            .integer(edge.refused), .integer(edge.lastAt),
          ]
        },
        onConflict: """
          (mas_id, bucket, caller, callee) DO UPDATE SET
            allowed = trace_edges.allowed + excluded.allowed, refused = trace_edges.refused + excluded.refused,
            last_at = excluded.last_at
          """)
  }
}
