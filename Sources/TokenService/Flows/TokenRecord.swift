import CASACore
import Storage

/// What is stored of a token that was issued. The runtime forgets it an hour after the token expired.
struct TokenRecord: Sendable, Hashable {
  let hash: TokenHash
  let masID: MASID
  /// nil for a token that belongs to no session.
  let userInputID: UserInputID?
  let traceID: TraceID?
  let scope: Scope
  /// The app it was issued to.
  let holder: AppID
  /// The app it is meant for; nil when it never leaves its holder's sidecar.
  let addressee: AppID?
}

extension TokenRecord {
  /// Finds those of the tokens that were issued here.
  static func query(_ hashes: [TokenHash]) -> Statement {
    let parameters = hashes.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
    return Statement(
      """
      SELECT tokens.sha256, tokens.mas_id, user_input_id, trace_id, scope, client_id, addressee_id
      FROM tokens LEFT JOIN user_inputs ON user_inputs.id = user_input_id WHERE tokens.sha256 IN (\(parameters))
      """, hashes.map { .text($0.text) })
  }

  init(row: Row) throws(StorageError) {
    guard let hash = TokenHash(try row.text("sha256")), let scope = Scope(rawValue: try row.text("scope")) else {
      throw .corrupt("a token's record can't be read")
    }
    self.init(
      hash: hash, masID: MASID(try row.text("mas_id")),
      userInputID: try row.optionalText("user_input_id").map { UserInputID($0) },
      traceID: try row.optionalText("trace_id").flatMap { TraceID($0) }, scope: scope,
      holder: AppID(try row.text("client_id")), addressee: try row.optionalText("addressee_id").map { AppID($0) })
  }
}
