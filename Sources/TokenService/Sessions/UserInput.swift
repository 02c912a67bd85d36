public import CASACore
import Storage

/// What is known of a stored prompt without its text, which stays in the database.
public struct UserInput: Sendable, Hashable {
  public let id: UserInputID
  public let masID: MASID
  /// The client app that brought it.
  public let appID: AppID
  public let traceID: TraceID
  /// Lowercase hexadecimal SHA-256 of the text's UTF-8.
  public let sha256: String
  public let createdAt: Timestamp
}

extension UserInput {
  init(row: Row) throws(StorageError) {
    guard let traceID = TraceID(try row.text("trace_id")) else {
      throw .corrupt("a user input's trace id can't be read")
    }
    self.init(
      id: UserInputID(try row.text("id")), masID: MASID(try row.text("mas_id")), appID: AppID(try row.text("app_id")),
      traceID: traceID, sha256: try row.text("sha256"),
      createdAt: Timestamp(milliseconds: try row.integer("created_at")))
  }

  static let columns = "id, mas_id, app_id, trace_id, sha256, created_at"
}
