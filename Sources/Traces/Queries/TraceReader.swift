import AgentProtocols
public import CASACore
public import Storage

/// Answers questions about the traces, and only with what the asker may read. Lists begin with the newest and go on
/// where the last one ended, whatever came meanwhile.
public struct TraceReader: Sendable {
  /// So many events are told with a session; the others follow on demand.
  static let eventsOfSession = 1000
  /// Tokens, flows, sightings and alerts of one session: more are not told.
  static let recordsOfSession = 2000

  let storage: any StorageDriver
  let directory: any TraceDirectory

  public init(storage: any StorageDriver, directory: any TraceDirectory) {
    self.storage = storage
    self.directory = directory
  }

  // MARK: Sessions

  public static let sessionParameters: Set<String> = [
    "mas_id", "app_id", "tool", "verdict", "reason", "from", "to", "text", "before", "limit",
  ]

  /// - Throws: `InvalidField` when prompts are searched without the right to read them.
  public func sessions(_ query: TraceQuery, _ access: ReadAccess) async throws -> JSONValue {
    var facets: [Facet] = []
    if let text = query.text {
      guard access.readsPrompts else {
        throw InvalidField("text", expected: "nothing: you may not read prompts, so you may not search them")
      }
      let words = Facet.words(of: text)
      guard !words.isEmpty else { throw InvalidField("text", expected: "at least one word of letters or digits") }
      facets += words.map { .word($0) }
    }
    if let reason = query.reason { facets.append(.reason(reason)) }
    if let tool = query.tool { facets.append(.tool(tool)) }
    if let app = query.app { facets.append(.app(app.rawValue)) }
    if query.verdict == .refused { facets.append(.refused) }
    let rows = try await storage.query(
      facets.isEmpty
        ? try await newestSessions(query, access)
        : try await newestSessions(with: try await rarestFirst(facets), query, access))
    var records: [SessionRecord] = []
    for row in rows { records.append(try SessionRecord(row: row)) }
    return [
      "sessions": .array(try await told(records, access)),
      "next": records.count == query.limit
        ? records.last.map { .string(String($0.number)) } ?? .null : .null,
    ]
  }

  private func newestSessions(_ query: TraceQuery, _ access: ReadAccess) async throws(StorageError) -> Statement {
    var conditions = SQLConditions()
    if let before = query.before { conditions.add("number < ?", .integer(before)) }
    try await addTimes(query, number: "number", to: &conditions)
    Self.add(query, access, to: &conditions)
    return Statement(
      """
      SELECT \(SessionRecord.columns) FROM trace_sessions\(conditions.text) ORDER BY number DESC LIMIT \(query.limit)
      """, conditions.values)
  }

  /// Goes from one session that has the first facet to the next, and looks the rest of the conditions up: so a page
  /// costs the same wherever it begins. They are scalar queries, since any other way of saying so lets PostgreSQL join
  /// the tables from their ends.
  private func newestSessions(
    with facets: [Facet], _ query: TraceQuery, _ access: ReadAccess
  ) async throws(StorageError) -> Statement {
    var conditions = SQLConditions()
    for (index, facet) in facets.enumerated() {
      conditions.add(
        index == 0
          ? "f.facet = ?" : "(SELECT 1 FROM trace_facets o WHERE o.facet = ? AND o.session = f.session) = 1",
        .text(facet.text))
    }
    if let before = query.before { conditions.add("f.session < ?", .integer(before)) }
    try await addTimes(query, number: "f.session", to: &conditions)
    conditions.add("(SELECT 1 FROM trace_sessions WHERE number = f.session", closedBy: ") = 1") { conditions in
      Self.add(query, access, to: &conditions)
    }
    return Statement(
      """
      SELECT \(SessionRecord.columns) FROM trace_sessions WHERE number IN (
        SELECT f.session FROM trace_facets f\(conditions.text) ORDER BY f.session DESC LIMIT \(query.limit))
      ORDER BY number DESC
      """, conditions.values)
  }

  /// Conditions on columns of `trace_sessions`.
  private static func add(_ query: TraceQuery, _ access: ReadAccess, to conditions: inout SQLConditions) {
    if query.verdict == .allowed { conditions.add("refused = 0") }
    if let from = query.from { conditions.add("started_at >= ?", .integer(from.milliseconds)) }
    if let to = query.to { conditions.add("started_at < ?", .integer(to.milliseconds)) }
    if let system = query.system { conditions.add("mas_id = ?", .text(system.rawValue)) }
    if let systems = access.systems { conditions.add("mas_id", in: systems) }
  }

  /// The facet that the fewest sessions have leads; beyond a thousand it makes no difference.
  private func rarestFirst(_ facets: [Facet]) async throws(StorageError) -> [Facet] {
    guard facets.count > 1 else { return facets }
    var counted: [(facet: Facet, count: Int64)] = []
    for facet in facets {
      let row = try await storage.query(
        Statement(
          "SELECT COUNT(*) AS count FROM (SELECT 1 FROM trace_facets WHERE facet = $1 LIMIT 1000) AS counted",
          [.text(facet.text)])
      ).first
      counted.append((facet, try row?.integer("count") ?? 0))
    }
    return counted.sorted { $0.count < $1.count }.map(\.facet)
  }

  /// Numbers ascend with time, though not strictly: they narrow the search, and the time itself decides.
  private func addTimes(
    _ query: TraceQuery, number: String, to conditions: inout SQLConditions
  ) async throws(StorageError) {
    let slack: Int64 = 10_000
    func place(near moment: Timestamp) async throws(StorageError) -> Int64? {
      try await storage.query(
        Statement(
          "SELECT number FROM trace_sessions WHERE started_at >= $1 ORDER BY started_at LIMIT 1",
          [.integer(moment.milliseconds)])
      ).first?.integer("number")
    }
    if let from = query.from, let least = try await place(near: from) {
      conditions.add("\(number) >= ?", .integer(least - slack))
    }
    if let to = query.to, let greatest = try await place(near: to) {
      conditions.add("\(number) <= ?", .integer(greatest + slack))
    }
  }

  private func told(_ records: [SessionRecord], _ access: ReadAccess) async throws(StorageError) -> [JSONValue] {
    let prompts = access.readsPrompts ? try await storage.prompts(of: records.map(\.id)) : [:]
    return records.map { record in
      var members = record.json
      members["mas"] = directory.systemName(record.masID).map(JSONValue.string) ?? .null
      members["app"] = record.appID.flatMap { directory.appName($0) }.map { .string($0.name) } ?? .null
      members["prompt"] = prompts[record.id].map(JSONValue.string) ?? .null
      return .object(members)
    }
  }

  /// One session; nil when there is none that the asker may read.
  /// - Parameter isWhole: false for its line and its apps only.
  public func session(
    _ id: UserInputID, isWhole: Bool = true, _ access: ReadAccess
  ) async throws(StorageError) -> JSONValue? {
    guard
      let row = try await storage.query(
        Statement("SELECT \(SessionRecord.columns) FROM trace_sessions WHERE id = $1", [.text(id.rawValue)])
      ).first
    else { return nil }
    let record = try SessionRecord(row: row)
    guard access.includes(record.masID), let summary = try await told([record], access).first else { return nil }
    var apps: [String: JSONValue] = [:]
    for app in record.apps {
      guard let known = directory.appName(AppID(app)) else { continue }
      apps[app] = ["name": .string(known.name), "kind": .string(known.kind.rawValue)]
    }
    guard isWhole else { return ["session": summary, "apps": .object(apps)] }
    var events = try await events(of: id, after: 0, limit: Self.eventsOfSession)
    if !access.readsPrompts { events = events.map { $0.withoutPrompts() } }
    let (tokens, flows) = try await tokensAndFlows(of: record)
    return [
      "session": summary, "apps": .object(apps), "events": .array(events.map(\.json)),
      "next_after": events.count == Self.eventsOfSession
        ? events.last.map { .number(Double($0.sequence)) } ?? .null : .null,
      "tokens": .array(tokens), "flows": .array(flows), "alerts": .array(try await alerts(of: id)),
    ]
  }

  private func events(
    of session: UserInputID, after: Int64, limit: Int
  ) async throws(StorageError) -> [RecordedEvent] {
    try await storage.events(
      Statement(
        """
        SELECT \(RecordedEvent.columns) FROM trace_events WHERE user_input_id = $1 AND sequence > $2
        ORDER BY sequence LIMIT \(limit)
        """, [.text(session.rawValue), .integer(after)]))
  }

  // MARK: Tokens and flows

  private func tokensAndFlows(
    of session: SessionRecord
  ) async throws(StorageError) -> (tokens: [JSONValue], flows: [JSONValue]) {
    let id = SQLValue.text(session.id.rawValue)
    var sightings: [FlowID: [JSONValue]] = [:]
    var sightingsOfToken: [String: Int] = [:]
    for row in try await storage.query(
      Statement(
        """
        SELECT node_id, flow, sha256, at, direction, method, path FROM trace_sightings WHERE user_input_id = $1
        ORDER BY at LIMIT \(Self.recordsOfSession)
        """, [id]))
    {
      let hash = try row.text("sha256")
      sightingsOfToken[hash, default: 0] += 1
      guard let flow = try row.optionalText("flow") else { continue }
      sightings[FlowID(node: try row.text("node_id"), flow: flow), default: []].append([
        "sha256": .string(hash), "at": .string(Timestamp(milliseconds: try row.integer("at")).rfc3339),
        "direction": try row.optionalText("direction").map(JSONValue.string) ?? .null,
        "method": try row.optionalText("method").map(JSONValue.string) ?? .null,
        "path": try row.optionalText("path").map(JSONValue.string) ?? .null,
      ])
    }
    var tokens: [JSONValue] = []
    for row in try await storage.query(
      Statement(
        """
        SELECT \(Self.tokenColumns) FROM trace_tokens WHERE user_input_id = $1
        ORDER BY sequence LIMIT \(Self.recordsOfSession)
        """, [id]))
    {
      var token = try Self.token(row)
      token["sightings"] = .number(Double(sightingsOfToken[try row.text("sha256")] ?? 0))
      tokens.append(.object(token))
    }
    var flows: [JSONValue] = []
    // Those that carried the session's tokens, and what the kernel refused its apps meanwhile.
    for row in try await storage.query(
      Statement(
        """
        SELECT DISTINCT \(Self.flowColumns("f")) FROM trace_flows f
        JOIN trace_sightings s ON s.node_id = f.node_id AND s.flow = f.flow
        WHERE s.user_input_id = $1 ORDER BY f.seen_at LIMIT \(Self.recordsOfSession)
        """, [id]))
    {
      flows.append(try Self.flow(row, sightings))
    }
    for app in session.apps.sorted() {
      for row in try await storage.query(
        Statement(
          """
          SELECT \(Self.flowColumns("f")) FROM trace_flows f
          WHERE f.app_id = $1 AND f.seen_at >= $2 AND f.seen_at <= $3 AND f.refused IS NOT NULL
          ORDER BY f.seen_at LIMIT 100
          """,
          [.text(app), .integer(session.startedAt.milliseconds), .integer(session.lastAt.milliseconds + 1000)]))
      {
        flows.append(try Self.flow(row, sightings))
      }
    }
    return (tokens, flows)
  }

  private struct FlowID: Hashable {
    let node: String
    let flow: String
  }

  private static let tokenColumns =
    "sha256, user_input_id, parent_sha256, scope, app_id, audience, actors, tool, issued_at, expires_at, spent_at, revoked_at"

  private static func token(_ row: Row) throws(StorageError) -> [String: JSONValue] {
    func moment(_ column: String) throws(StorageError) -> JSONValue {
      try row.optionalInteger(column).map { .string(Timestamp(milliseconds: $0).rfc3339) } ?? .null
    }
    func list(_ column: String) throws(StorageError) -> JSONValue {
      (try? JSONValue(parsing: Array(try row.text(column).utf8))) ?? []
    }
    return [
      "sha256": .string(try row.text("sha256")),
      "user_input_id": try row.optionalText("user_input_id").map(JSONValue.string) ?? .null,
      "parent_sha256": try row.optionalText("parent_sha256").map(JSONValue.string) ?? .null,
      "scope": .string(try row.text("scope")), "app_id": .string(try row.text("app_id")),
      "audience": try list("audience"), "actors": try list("actors"),
      "tool": try row.optionalText("tool").map(JSONValue.string) ?? .null, "issued_at": try moment("issued_at"),
      "expires_at": .string(try row.text("expires_at")), "spent_at": try moment("spent_at"),
      "revoked_at": try moment("revoked_at"),
    ]
  }

  private static func flowColumns(_ table: String) -> String {
    [
      "node_id", "flow", "node", "workload", "app_id", "peer_app_id", "direction", "remote", "opened_at", "closed_at",
      "seen_at", "bytes_out", "bytes_in", "refused",
    ].map { "\(table).\($0)" }.joined(separator: ", ")
  }

  private static func flow(_ row: Row, _ sightings: [FlowID: [JSONValue]]) throws(StorageError) -> JSONValue {
    func text(_ column: String) throws(StorageError) -> JSONValue {
      try row.optionalText(column).map(JSONValue.string) ?? .null
    }
    func number(_ column: String) throws(StorageError) -> JSONValue {
      try row.optionalInteger(column).map { .number(Double($0)) } ?? .null
    }
    func moment(_ column: String) throws(StorageError) -> JSONValue {
      try row.optionalInteger(column).map { .string(Timestamp(milliseconds: $0).rfc3339) } ?? .null
    }
    let id = FlowID(node: try row.text("node_id"), flow: try row.text("flow"))
    return [
      "node": .string(try row.text("node")), "flow": .string(id.flow), "workload": .string(try row.text("workload")),
      "app_id": try text("app_id"), "peer_app_id": try text("peer_app_id"), "direction": try text("direction"),
      "remote": try text("remote"), "opened_at": try moment("opened_at"), "closed_at": try moment("closed_at"),
      "bytes_out": try number("bytes_out"), "bytes_in": try number("bytes_in"), "refused": try text("refused"),
      "tokens": .array(sightings[id] ?? []),
    ]
  }

  // MARK: Events

  public static let eventParameters: Set<String> = ["mas_id", "app_id", "session", "kind", "after", "limit"]

  /// So many events are looked through at once for those that a filter lets pass, so that a rare one never takes long.
  private static let window: Int64 = 10_000

  /// Events after a place in their order, and the place from where to go on: there may be more although fewer came than
  /// were asked for.
  public func events(
    _ query: TraceQuery, _ access: ReadAccess
  ) async throws(StorageError) -> (events: [RecordedEvent], next: Int64) {
    let start = query.after ?? 0
    var conditions = SQLConditions()
    conditions.add("sequence > ?", .integer(start))
    var end = Int64.max
    if let session = query.session {
      conditions.add("user_input_id = ?", .text(session.rawValue))
    } else if query.system != nil || query.app != nil || query.kind != nil || access.systems != nil {
      end = min(start.addingReportingOverflow(Self.window).partialValue, max(try await lastSequence(), start))
      conditions.add("sequence <= ?", .integer(end))
    }
    if let system = query.system { conditions.add("mas_id = ?", .text(system.rawValue)) }
    if let app = query.app { conditions.add("app_id = ?", .text(app.rawValue)) }
    if let kind = query.kind { conditions.add("kind = ?", .text(kind)) }
    if let systems = access.systems { conditions.add("mas_id", in: systems) }
    var events = try await storage.events(
      Statement(
        "SELECT \(RecordedEvent.columns) FROM trace_events\(conditions.text) ORDER BY sequence LIMIT \(query.limit)",
        conditions.values))
    if !access.readsPrompts { events = events.map { $0.withoutPrompts() } }
    let last = events.last?.sequence ?? start
    return (events, events.count == query.limit || end == Int64.max ? last : end)
  }

  /// The place of the newest event; 0 when there is none.
  public func lastSequence() async throws(StorageError) -> Int64 {
    try await storage.query(Statement("SELECT sequence FROM trace_events ORDER BY sequence DESC LIMIT 1")).first?
      .integer("sequence") ?? 0
  }

  // MARK: Alerts

  public static let alertParameters: Set<String> = ["mas_id", "kind", "from", "to", "before", "limit"]

  public func alerts(_ query: TraceQuery, _ access: ReadAccess) async throws(StorageError) -> JSONValue {
    var conditions = SQLConditions()
    if let before = query.before { conditions.add("sequence < ?", .integer(before)) }
    if let system = query.system { conditions.add("mas_id = ?", .text(system.rawValue)) }
    if let kind = query.kind { conditions.add("kind = ?", .text(kind)) }
    if let from = query.from { conditions.add("at >= ?", .integer(from.milliseconds)) }
    if let to = query.to { conditions.add("at < ?", .integer(to.milliseconds)) }
    if let systems = access.systems { conditions.add("mas_id", in: systems) }
    var alerts: [TraceAlert] = []
    for row in try await storage.query(
      Statement(
        """
        SELECT \(TraceAlert.columns) FROM trace_alerts\(conditions.text) ORDER BY sequence DESC, id LIMIT \(query.limit)
        """, conditions.values))
    {
      alerts.append(try TraceAlert(row: row))
    }
    return [
      "alerts": .array(alerts.map(\.json)),
      "next": alerts.count == query.limit ? alerts.last.map { .string(String($0.sequence)) } ?? .null : .null,
    ]
  }

  private func alerts(of session: UserInputID) async throws(StorageError) -> [JSONValue] {
    var alerts: [JSONValue] = []
    for row in try await storage.query(
      Statement(
        "SELECT \(TraceAlert.columns) FROM trace_alerts WHERE user_input_id = $1 ORDER BY sequence LIMIT 1000",
        [.text(session.rawValue)]))
    {
      alerts.append(try TraceAlert(row: row).json)
    }
    return alerts
  }

  // MARK: Search

  /// Finds sessions by id, trace id, token hash, decision, tool or words of the prompt, and systems and apps by name.
  public func search(_ text: String, _ access: ReadAccess) async throws -> JSONValue {
    let wanted = String(text.drop { $0 == " " }.prefix(200))
    var records: [SessionRecord] = []
    var tokens: [JSONValue] = []
    func add(_ condition: String, _ value: SQLValue) async throws(StorageError) {
      for row in try await storage.query(
        Statement(
          """
          SELECT \(SessionRecord.columns) FROM trace_sessions WHERE \(condition) ORDER BY number DESC LIMIT 50
          """, [value]))
      {
        let record = try SessionRecord(row: row)
        if access.includes(record.masID), !records.contains(record) { records.append(record) }
      }
    }
    guard !wanted.isEmpty, !wanted.utf8.contains(0) else {
      return ["sessions": [], "tokens": [], "systems": [], "apps": []]
    }
    try await add("id = $1", .text(wanted))
    if TokenHash(wanted) != nil {
      for row in try await storage.query(
        Statement("SELECT \(Self.tokenColumns), mas_id FROM trace_tokens WHERE sha256 = $1", [.text(wanted)]))
      where access.includes(MASID(try row.text("mas_id"))) {
        tokens.append(.object(try Self.token(row)))
        if let session = try row.optionalText("user_input_id") { try await add("id = $1", .text(session)) }
      }
    }
    if TraceID(wanted) != nil {
      try await add("id IN (SELECT id FROM user_inputs WHERE trace_id = $1)", .text(wanted))
    }
    let byFacet = "number IN (SELECT session FROM trace_facets WHERE facet = $1 ORDER BY session DESC LIMIT 200)"
    for facet in [Facet.decision(wanted), .tool(wanted), .reason(wanted)] where records.count < 50 {
      try await add(byFacet, .text(facet.text))
    }
    var sessions = try await told(records, access)
    if access.readsPrompts, records.isEmpty, !Facet.words(of: wanted).isEmpty {
      let query = try TraceQuery(["text": wanted], known: ["text"], limit: 50)
      sessions = try await self.sessions(query, access)["sessions"]?.array ?? []
    }
    let lowercased = wanted.lowercased()
    let systems = directory.systemNames()
      .filter { access.includes($0.id) && ($0.name.contains(lowercased) || $0.id.rawValue == wanted) }
    let apps = directory.appsByName(of: nil)
      .filter { access.includes($0.system) && ($0.name.contains(lowercased) || $0.id.rawValue == wanted) }
    return [
      "sessions": .array(sessions), "tokens": .array(tokens),
      "systems": .array(systems.prefix(50).map { ["id": .string($0.id.rawValue), "name": .string($0.name)] }),
      "apps": .array(
        apps.prefix(50).map {
          [
            "id": .string($0.id.rawValue), "name": .string($0.name), "kind": .string($0.kind.rawValue),
            "mas_id": .string($0.system.rawValue),
          ]
        }),
    ]
  }
}
