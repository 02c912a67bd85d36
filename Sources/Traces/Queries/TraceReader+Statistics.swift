public import CASACore
public import Storage

/// What charts are drawn from.
extension TraceReader {
  public static let statisticsParameters: Set<String> = ["mas_id", "from", "to"]

  /// The span of `from` and `to`, by default the last 24 hours; at most 400 days.
  private static func span(_ query: TraceQuery, now: Timestamp) throws(InvalidField) -> (from: Timestamp, to: Timestamp)
  {
    let to = query.to ?? now
    let from = query.from ?? to - .seconds(86_400)
    guard from < to, to.milliseconds - from.milliseconds <= 400 * 86_400_000 else {
      throw InvalidField("from", expected: "a moment before `to`, by at most 400 days")
    }
    return (from, to)
  }

  /// The systems to sum over; nil for the sum over all, which is kept.
  private func systems(_ query: TraceQuery, _ access: ReadAccess) -> [MASID]? {
    if let system = query.system { return access.includes(system) ? [system] : [] }
    return access.systems.map(Array.init)
  }

  /// - Throws: `InvalidField` for a span that is too long, and `StorageError`.
  public func statistics(_ query: TraceQuery, _ access: ReadAccess, now: Timestamp) async throws -> JSONValue {
    let (from, to) = try Self.span(query, now: now)
    let length = to.milliseconds - from.milliseconds
    // About a hundred columns, of whole minutes, hours or days.
    let finest = length <= 6 * 3_600_000 ? TraceNumbers.minute : TraceNumbers.hour
    let step: Int64 =
      [60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400].first { $0 >= finest && length / ($0 * 1000) <= 125 }
      ?? 7 * 86_400
    let resolution = step >= TraceNumbers.sixHours ? TraceNumbers.sixHours : finest
    let systems = systems(query, access)
    var columns: [Int64: (allowed: Int64, refused: Int64)] = [:]
    var column = from.milliseconds / (step * 1000) * step * 1000
    while column < to.milliseconds {
      columns[column] = (0, 0)
      column += step * 1000
    }
    var totals: [String: Int64] = [:]
    var conditions = SQLConditions()
    conditions.add("resolution = ?", .integer(resolution))
    Self.add(systems, to: &conditions)
    conditions.add(
      "bucket >= ?", .integer(TraceNumbers.bucket(from, resolution: resolution)))
    conditions.add("bucket < ?", .integer(to.milliseconds))
    for row in try await storage.query(
      Statement(
        """
        SELECT bucket / \(step * 1000) * \(step * 1000) AS start, what, CAST(SUM(count) AS BIGINT) AS count
        FROM trace_counts\(conditions.text) GROUP BY bucket / \(step * 1000), what
        """, conditions.values))
    {
      let (what, count) = (try row.text("what"), try row.integer("count"))
      totals[what, default: 0] += count
      let start = try row.integer("start")
      if what == "allowed" { columns[start, default: (0, 0)].allowed += count }
      if what == "refused" { columns[start, default: (0, 0)].refused += count }
    }
    let reasons = totals.compactMap { what, count in
      what.hasPrefix("reason=") ? (reason: String(what.dropFirst("reason=".count)), count: count) : nil
    }.sorted { ($1.count, $0.reason) < ($0.count, $1.reason) }
    let apps = directory.appsByName(of: query.system).filter { access.includes($0.system) }
    return [
      "from": .string(from.rfc3339), "to": .string(to.rfc3339), "bucket_seconds": .number(Double(step)),
      "totals": [
        "systems": .number(Double(query.system == nil ? directory.systemNames().count { access.includes($0.id) } : 1)),
        "apps": .number(Double(apps.count)), "sessions": Self.number(totals["session"]),
        "allowed": Self.number(totals["allowed"]), "refused": Self.number(totals["refused"]),
        "alerts": Self.number(totals["alert"]), "flows": Self.number(totals["flow"]),
        "flows_refused": Self.number(totals["flow_refused"]),
      ],
      "calls": .array(
        columns.sorted { $0.key < $1.key }.map {
          [
            "at": .string(Timestamp(milliseconds: $0.key).rfc3339), "allowed": Self.number($0.value.allowed),
            "refused": Self.number($0.value.refused),
          ]
        }),
      "reasons": .array(reasons.prefix(50).map { ["reason": .string($0.reason), "count": Self.number($0.count)] }),
      "checks": .array(
        try await checks(
          from: from, to: to, resolution: max(resolution, TraceNumbers.hour), systems: systems)),
    ]
  }

  /// How many sessions, calls and alerts each system had in the last 24 hours: `sessions`, `allowed`, `refused` and
  /// `alerts` by system.
  public func totals(_ access: ReadAccess, now: Timestamp) async throws(StorageError) -> [MASID: [String: Int64]] {
    var conditions = SQLConditions()
    conditions.add("resolution = ?", .integer(TraceNumbers.hour))
    if let systems = access.systems {
      conditions.add("mas_id", in: systems)
    } else {
      conditions.add("mas_id <> ''")
    }
    conditions.add(
      "bucket >= ?", .integer(TraceNumbers.bucket(now - .seconds(86_400), resolution: TraceNumbers.hour)))
    conditions.add("what IN ('session', 'allowed', 'refused', 'alert')")
    var totals: [MASID: [String: Int64]] = [:]
    for row in try await storage.query(
      Statement(
        "SELECT mas_id, what, CAST(SUM(count) AS BIGINT) AS count FROM trace_counts\(conditions.text) GROUP BY mas_id, what",
        conditions.values))
    {
      var what = try row.text("what")
      if what == "session" || what == "alert" { what += "s" }
      totals[MASID(try row.text("mas_id")), default: [:]][what] = try row.integer("count")
    }
    return totals
  }

  private static func add(_ systems: [MASID]?, to conditions: inout SQLConditions) {
    if let systems {
      conditions.add("mas_id", in: Set(systems))
    } else {
      conditions.add("mas_id = ''")
    }
  }

  private static func number(_ value: Int64?) -> JSONValue { .number(Double(value ?? 0)) }

  /// The slowest first.
  private func checks(
    from: Timestamp, to: Timestamp, resolution: Int64, systems: [MASID]?
  ) async throws(StorageError) -> [JSONValue] {
    struct Figures {
      var count: Int64 = 0
      var blocked: Int64 = 0
      var microseconds: Int64 = 0
      var classes: [Int64: Int64] = [:]
    }
    var conditions = SQLConditions()
    conditions.add("resolution = ?", .integer(resolution))
    Self.add(systems, to: &conditions)
    conditions.add("bucket >= ?", .integer(TraceNumbers.bucket(from, resolution: resolution)))
    conditions.add("bucket < ?", .integer(to.milliseconds))
    var figures: [String: Figures] = [:]
    for row in try await storage.query(
      Statement(
        """
        SELECT check_name, answer, latency_class, CAST(SUM(count) AS BIGINT) AS count,
          CAST(SUM(microseconds) AS BIGINT) AS microseconds
        FROM trace_checks\(conditions.text) GROUP BY check_name, answer, latency_class
        """, conditions.values))
    {
      let count = try row.integer("count")
      var of = figures[try row.text("check_name")] ?? Figures()
      of.count += count
      if try row.text("answer") == "block" { of.blocked += count }
      of.microseconds += try row.integer("microseconds")
      of.classes[try row.integer("latency_class"), default: 0] += count
      figures[try row.text("check_name")] = of
    }
    func rounded(_ value: Double) -> JSONValue { .number((value * 1000).rounded() / 1000) }
    return figures.map { name, of in
      let p95 = LatencyClass.percentile(0.95, of: of.classes) ?? 0
      return (
        p95,
        JSONValue.object([
          "check": .string(name), "count": Self.number(of.count), "blocked": Self.number(of.blocked),
          "mean_ms": rounded(Double(of.microseconds) / Double(max(of.count, 1)) / 1000),
          "p50_ms": rounded(LatencyClass.percentile(0.5, of: of.classes) ?? 0), "p95_ms": rounded(p95),
        ])
      )
    }.sorted { $0.0 > $1.0 }.map(\.1)
  }

  // MARK: Who called whom

  public func graph(_ query: TraceQuery, _ access: ReadAccess, now: Timestamp) async throws -> JSONValue {
    let (from, to) = try Self.span(query, now: now)
    var conditions = SQLConditions()
    if let systems = systems(query, access) { conditions.add("mas_id", in: Set(systems)) }
    conditions.add("bucket >= ?", .integer(TraceNumbers.bucket(from, resolution: TraceNumbers.hour)))
    conditions.add("bucket < ?", .integer(to.milliseconds))
    let rows = try await storage.query(
      Statement(
        """
        SELECT mas_id, caller, callee, CAST(SUM(allowed) AS BIGINT) AS allowed, CAST(SUM(refused) AS BIGINT) AS refused,
          MAX(last_at) AS last_at
        FROM trace_edges\(conditions.text) GROUP BY mas_id, caller, callee ORDER BY mas_id, caller, callee LIMIT 2000
        """, conditions.values))
    let apps = directory.appsByName(of: query.system).filter { access.includes($0.system) }
    var edges: [JSONValue] = []
    for row in rows {
      let system = try row.text("mas_id")
      let callee = try row.text("callee")
      let kind = apps.first { $0.system.rawValue == system && $0.name == callee }?.kind
      edges.append([
        "mas_id": .string(system), "from": .string(try row.text("caller")), "to": .string(callee),
        "protocol": .string(callee == "llm" ? "llm" : kind == .mcpServer ? "mcp" : "a2a"),
        "allowed": Self.number(try row.integer("allowed")), "refused": Self.number(try row.integer("refused")),
        "last_at": .string(Timestamp(milliseconds: try row.integer("last_at")).rfc3339),
      ])
    }
    return [
      "apps": .array(
        apps.prefix(1000).map {
          [
            "id": .string($0.id.rawValue), "name": .string($0.name), "kind": .string($0.kind.rawValue),
            "mas_id": .string($0.system.rawValue),
          ]
        }),
      "edges": .array(edges),
    ]
  }
}
