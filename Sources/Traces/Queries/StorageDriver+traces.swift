import CASACore
import Storage

extension StorageDriver {
  /// The events that a statement selects by `RecordedEvent.columns`.
  func events(_ statement: Statement) async throws(StorageError) -> [RecordedEvent] {
    var events: [RecordedEvent] = []
    for row in try await query(statement) { events.append(try RecordedEvent(row: row)) }
    return events
  }

  /// What users asked for, as far as it is still stored.
  func prompts(of sessions: [UserInputID]) async throws(StorageError) -> [UserInputID: String] {
    guard !sessions.isEmpty else { return [:] }
    let ids = sessions.map { SQLValue.text($0.rawValue) }
    var prompts: [UserInputID: String] = [:]
    for row in try await query(
      Statement(
        "SELECT id, text FROM user_inputs WHERE id IN (\(Statement.parameters(ids.count)))", Statement.padded(ids)))
    {
      prompts[UserInputID(try row.text("id"))] = try row.text("text")
    }
    return prompts
  }
}
