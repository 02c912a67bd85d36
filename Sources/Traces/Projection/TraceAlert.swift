import CASACore
import Storage

/// Something that somebody should look at.
struct TraceAlert: Sendable {
  /// The same for what is the same, which is told once.
  let id: String
  let sequence: Int64
  let at: Timestamp
  let kind: String
  let masID: MASID?
  let userInputID: UserInputID?
  let appID: AppID?
  let reason: String
  let explanation: String

  static let columns = "id, sequence, at, kind, mas_id, user_input_id, app_id, reason, explanation"

  init(id: String, event: RecordedEvent, kind: String, reason: String, explanation: String) {
    self.id = id
    sequence = event.sequence
    at = event.at
    self.kind = kind
    masID = event.masID
    userInputID = event.userInputID
    appID = event.appID
    self.reason = reason
    self.explanation = explanation
  }

  /// A token that nobody here issued was on its way.
  init(unknownToken hash: String, sighting row: Row) throws(StorageError) {
    let node = try row.text("node")
    id = "unknown \(hash) \(try row.text("node_id"))"
    sequence = try row.integer("sequence")
    at = Timestamp(milliseconds: try row.integer("at"))
    kind = "unknown_token"
    masID = try row.optionalText("mas_id").map { MASID($0) }
    userInputID = nil
    appID = try row.optionalText("app_id").map { AppID($0) }
    reason = kind
    explanation = "node \(node) saw a bearer token in HTTP that this runtime did not issue"
  }

  /// An event of the trace is damaged.
  init(unreadable event: RecordedEvent) {
    self.init(
      id: "unreadable \(event.masID?.rawValue ?? "") \(event.at.milliseconds / 86_400_000)", event: event,
      kind: "trace_unreadable", reason: "trace_unreadable",
      explanation: """
        event \(event.sequence) of kind \(event.kind.prefix(64)) can't be read: it counts nowhere, and further ones like \
        it are left out without another alert that day
        """)
  }

  init(row: Row) throws(StorageError) {
    id = try row.text("id")
    sequence = try row.integer("sequence")
    at = Timestamp(milliseconds: try row.integer("at"))
    kind = try row.text("kind")
    masID = try row.optionalText("mas_id").map { MASID($0) }
    userInputID = try row.optionalText("user_input_id").map { UserInputID($0) }
    appID = try row.optionalText("app_id").map { AppID($0) }
    reason = try row.text("reason")
    explanation = try row.text("explanation")
  }

  var insertion: Statement {
    Statement(
      """
      INSERT INTO trace_alerts (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
      """,
      [
        .text(id), .integer(sequence), .integer(at.milliseconds), .text(kind), .optional(masID?.rawValue),
        .optional(userInputID?.rawValue), .optional(appID?.rawValue), .text(reason), .text(explanation),
      ])
  }

  var json: JSONValue {
    [
      "id": .string(id), "sequence": .number(Double(sequence)), "at": .string(at.rfc3339), "kind": .string(kind),
      "mas_id": masID.map { .string($0.rawValue) } ?? .null,
      "user_input_id": userInputID.map { .string($0.rawValue) } ?? .null,
      "app_id": appID.map { .string($0.rawValue) } ?? .null, "reason": .string(reason),
      "explanation": .string(explanation),
    ]
  }
}
