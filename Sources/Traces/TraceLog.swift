import AgentProtocols
public import CASACore
public import Storage

/// The append-only list of trace events.
public struct TraceLog: Sendable {
  private let storage: any StorageDriver

  public init(storage: any StorageDriver) { self.storage = storage }

  /// The statement that appends `event`, to stand in the unit that makes it true.
  public static func insertion(of event: TraceEvent) -> Statement {
    Statement(
      """
      INSERT INTO trace_events (at, kind, mas_id, user_input_id, trace_id, app_id, payload)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .integer(event.at.milliseconds), .text(event.kind.rawValue), .optional(event.masID?.rawValue),
        .optional(event.userInputID?.rawValue), .optional(event.traceID?.text), .optional(event.appID?.rawValue),
        .text(JSONValue.object(event.payload).canonicalText),
      ])
  }

  /// The same for an event that may be told more than once: of all with the same key, ever, the first is kept.
  public static func insertion(of event: TraceEvent, idempotencyKey: String) -> Statement {
    let insertion = insertion(of: event)
    return Statement(
      """
      INSERT INTO trace_events (at, kind, mas_id, user_input_id, trace_id, app_id, payload, idempotency_key)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
      """, insertion.arguments + [.text(idempotencyKey)])
  }

  /// Whether an event was stored with this key.
  public func holds(idempotencyKey: String) async throws(StorageError) -> Bool {
    let rows = try await storage.query(
      Statement("SELECT 1 AS held FROM trace_events WHERE idempotency_key = $1", [.text(idempotencyKey)]))
    return !rows.isEmpty
  }

  /// Appends `events`; returns when they are durable.
  public func append(_ events: [TraceEvent]) async throws(StorageError) {
    try await storage.commit(events.map(Self.insertion(of:)))
  }

  /// Up to `limit` (1 to 1000) events after `sequence` in order, as JSON for the API.
  public func events(after sequence: Int64, session: UserInputID?, limit: Int) async throws(StorageError) -> [JSONValue]
  {
    let bounded = SQLValue.integer(Int64(min(max(limit, 1), 1000)))
    let columns = "SELECT sequence, at, kind, mas_id, user_input_id, trace_id, app_id, payload FROM trace_events"
    let statement =
      if let session {
        Statement(
          columns + " WHERE user_input_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
          [.text(session.rawValue), .integer(sequence), bounded])
      } else {
        Statement(columns + " WHERE sequence > $1 ORDER BY sequence LIMIT $2", [.integer(sequence), bounded])
      }
    var events: [JSONValue] = []
    for row in try await storage.query(statement) {
      let payload: JSONValue
      do {
        payload = try JSONValue(parsing: Array(try row.text("payload").utf8))
      } catch let error as StorageError {
        throw error
      } catch {
        throw .corrupt("a trace event's payload is not JSON")
      }
      let at = Timestamp(milliseconds: try row.integer("at"))
      var members: [String: JSONValue] = [
        "sequence": .number(Double(try row.integer("sequence"))), "at": .string(at.rfc3339),
        "kind": .string(try row.text("kind")), "payload": payload,
      ]
      for column in ["mas_id", "user_input_id", "trace_id", "app_id"] {
        members[column] = try row.optionalText(column).map(JSONValue.string) ?? .null
      }
      events.append(.object(members))
    }
    return events
  }
}
