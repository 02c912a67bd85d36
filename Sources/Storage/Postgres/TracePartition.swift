import CASACore

/// The table in PostgreSQL that holds one day's trace events.
struct TracePartition: Hashable {
  private static let prefix = "trace_events_day_"
  private static let dayMilliseconds: Int64 = 86_400_000

  /// Days since 1970-01-01 UTC.
  let day: Int64

  init(day: Int64) { self.day = day }

  init(holding moment: Timestamp) {
    let days = moment.milliseconds / Self.dayMilliseconds
    day = moment.milliseconds % Self.dayMilliseconds < 0 ? days - 1 : days
  }

  /// - Parameter name: a table's; nil for any other table's.
  init?(name: String) {
    guard name.hasPrefix(Self.prefix), let day = Int64(name.dropFirst(Self.prefix.count)), day >= 0,
      Self.prefix + String(day) == name
    else { return nil }
    self.day = day
  }

  var name: String { Self.prefix + String(day) }
  var start: Timestamp { Timestamp(milliseconds: day * Self.dayMilliseconds) }
  /// The first moment that is no longer in it.
  var end: Timestamp { Timestamp(milliseconds: (day + 1) * Self.dayMilliseconds) }

  /// Makes the table and moves into it what came before it.
  var creation: [String] {
    let days = "at >= \(start.milliseconds) AND at < \(end.milliseconds)"
    return [
      "CREATE TABLE \(name) (LIKE trace_events INCLUDING DEFAULTS)",
      """
      WITH moved AS (DELETE FROM trace_events_default WHERE \(days) RETURNING *) INSERT INTO \(name) SELECT * FROM moved
      """,
      """
      ALTER TABLE trace_events ATTACH PARTITION \(name) FOR VALUES FROM (\(start.milliseconds)) TO (\(end.milliseconds))
      """,
    ]
  }
}
