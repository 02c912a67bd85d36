import AgentProtocols
import CASACore
import Storage

/// What is told of a session in one line: the sum of its events so far.
struct SessionRecord: Sendable, Hashable {
  /// More different names than these are not listed, though all are found.
  private static let maximumNames = 64

  /// The sequence of its first event, so that numbers ascend with time.
  let number: Int64
  let id: UserInputID
  let masID: MASID
  let appID: AppID?
  let traceID: String?
  let startedAt: Timestamp
  var lastAt: Timestamp
  var events: Int64 = 0
  var allowed: Int64 = 0
  var refused: Int64 = 0
  var alerts: Int64 = 0
  private(set) var apps: Set<String> = []
  private(set) var tools: Set<String> = []
  private(set) var reasons: Set<String> = []

  /// Begins with a session's first event.
  init?(first event: RecordedEvent) {
    guard let id = event.userInputID, let masID = event.masID else { return nil }
    number = event.sequence
    self.id = id
    self.masID = masID
    appID = event.appID
    traceID = event.traceID
    startedAt = event.at
    lastAt = event.at
  }

  // - Returns: whether it may be new; those that are not listed may always be.

  mutating func insert(app: String) -> Bool { Self.insert(app, into: &apps) }
  mutating func insert(tool: String) -> Bool { Self.insert(tool, into: &tools) }
  mutating func insert(reason: String) -> Bool { Self.insert(reason, into: &reasons) }

  private static func insert(_ name: String, into names: inout Set<String>) -> Bool {
    if names.count < maximumNames { return names.insert(name).inserted }
    return !names.contains(name)
  }

  // MARK: Storage

  static let columns =
    "number, id, mas_id, app_id, trace_id, started_at, last_at, events, allowed, refused, alerts, summary"

  init(row: Row) throws(StorageError) {
    // Names only; without them the session goes on.
    let summary = (try? JSONValue(parsing: Array(try row.text("summary").utf8))) ?? [:]
    func names(_ member: String) -> Set<String> { Set((summary[member]?.array ?? []).compactMap(\.string)) }
    number = try row.integer("number")
    id = UserInputID(try row.text("id"))
    masID = MASID(try row.text("mas_id"))
    appID = try row.optionalText("app_id").map { AppID($0) }
    traceID = try row.optionalText("trace_id")
    startedAt = Timestamp(milliseconds: try row.integer("started_at"))
    lastAt = Timestamp(milliseconds: try row.integer("last_at"))
    events = try row.integer("events")
    allowed = try row.integer("allowed")
    refused = try row.integer("refused")
    alerts = try row.integer("alerts")
    apps = names("apps")
    tools = names("tools")
    reasons = names("reasons")
  }

  /// Statements that store records of different sessions.
  static func upserts(_ records: [SessionRecord]) -> [Statement] {
    Statement.insertions(
      into: "trace_sessions", columns, records.map(\.values),
      onConflict: """
        (number) DO UPDATE SET last_at = excluded.last_at, events = excluded.events, allowed = excluded.allowed,
          refused = excluded.refused, alerts = excluded.alerts, summary = excluded.summary
        """)
  }

  private var values: [SQLValue] {
    let summary: JSONValue = ["apps": Self.list(apps), "tools": Self.list(tools), "reasons": Self.list(reasons)]
    return [
      .integer(number), .text(id.rawValue), .text(masID.rawValue), .optional(appID?.rawValue), .optional(traceID),
      .integer(startedAt.milliseconds), .integer(lastAt.milliseconds), .integer(events), .integer(allowed),
      .integer(refused), .integer(alerts), .text(summary.canonicalText),
    ]
  }

  private static func list(_ names: Set<String>) -> JSONValue { .array(names.sorted().map(JSONValue.string)) }

  /// As the API tells it; names of systems and apps, and the prompt, are for the caller to add.
  var json: [String: JSONValue] {
    [
      "id": .string(id.rawValue), "mas_id": .string(masID.rawValue),
      "app_id": appID.map { .string($0.rawValue) } ?? .null, "trace_id": traceID.map(JSONValue.string) ?? .null,
      "started_at": .string(startedAt.rfc3339), "last_at": .string(lastAt.rfc3339), "events": .number(Double(events)),
      "allowed": .number(Double(allowed)), "refused": .number(Double(refused)), "alerts": .number(Double(alerts)),
      "apps": Self.list(apps), "tools": Self.list(tools), "reasons": Self.list(reasons),
    ]
  }
}
