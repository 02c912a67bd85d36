import AgentProtocols
import CASACore
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

  /// The same for one that each tells at a time of its own: it takes effect only when no event has the key, and the
  /// unit is refused otherwise.
  ///
  /// PostgreSQL's index knows a key only together with its time. That none is overlooked rests on units being committed
  /// one after the other, as `StorageDriver` promises.
  public static func firstInsertion(of event: TraceEvent, idempotencyKey: String) -> Statement {
    Statement(
      """
      INSERT INTO trace_events (at, kind, mas_id, user_input_id, trace_id, app_id, payload, idempotency_key)
      SELECT $1, $2, $3, $4, $5, $6, $7, $8
      WHERE NOT EXISTS (SELECT 1 FROM trace_events WHERE idempotency_key = $9)
      """, insertion(of: event).arguments + [.text(idempotencyKey), .text(idempotencyKey)], expectedChanges: 1)
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
}
