import CASACore
import IntentChecks
import Storage

/// How results are stored.
extension ToolResult {
  static let columns = "id, server, tool, text, truncated, unread"

  init(row: Row) throws(StorageError) {
    guard let server = Name(try row.text("server")), let tool = ToolName(try row.text("tool")) else {
      throw .corrupt("a tool result's server or tool can't be read")
    }
    self.init(
      id: try row.text("id"), server: server, tool: tool, text: try row.text("text"),
      isTruncated: try row.integer("truncated") != 0,
      // No kind has a space in it.
      unread: try row.text("unread").split(separator: " ").map(String.init))
  }

  /// Stores the result unless the token of its call was revoked meanwhile.
  func insertion(for token: TokenID, session: UserInputID, app: AppID, at now: Timestamp) -> Statement {
    Statement(
      """
      INSERT INTO tool_results (id, user_input_id, app_id, server, tool, text, truncated, unread, recorded_at)
      SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
      WHERE EXISTS (SELECT 1 FROM tokens WHERE jti = $10 AND revoked_at IS NULL)
      """,
      [
        .text(id), .text(session.rawValue), .text(app.rawValue), .text(server.text), .text(tool.text), .text(text),
        .integer(isTruncated ? 1 : 0), .text(unread.joined(separator: " ")), .integer(now.milliseconds),
        .text(token.rawValue),
      ], expectedChanges: 1)
  }

  /// Deletes what was said in sessions without a token that lived on after `limit`. That there were results stays: a
  /// session can begin anew with the same user input, and its agent may remember.
  static func forgetting(sessionsEndedBefore limit: Timestamp) -> Statement {
    Statement(
      """
      UPDATE tool_results SET text = '', truncated = 1 WHERE text <> '' AND user_input_id NOT IN (
        SELECT user_input_id FROM tokens WHERE expires_at >= $1 AND user_input_id IS NOT NULL)
      """, [.integer(limit.milliseconds)])
  }
}
