import AgentProtocols
import CASACore
import Storage

/// That an app holds the token of a session. Stored, so that it may have the token again when its part was started
/// anew, whatever became of the runtime meanwhile.
struct Delivery {
  let token: VerifiedToken
  let app: AppID

  static let key = "mas_id, trace_id, app_id"

  /// Stores it, unless a token of the session that lives as long is stored.
  /// - Returns: nil for a token of no session.
  var insertion: Statement? {
    let claims = token.claims
    guard let trace = claims.traceID, claims.userInputID != nil else { return nil }
    return Statement(
      """
      INSERT INTO deliveries (mas_id, trace_id, app_id, jti, sha256, claims, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (mas_id, trace_id, app_id) DO UPDATE
      SET jti = excluded.jti, sha256 = excluded.sha256, claims = excluded.claims, expires_at = excluded.expires_at
      WHERE deliveries.expires_at < excluded.expires_at
      """,
      [
        .text(claims.masID.rawValue), .text(trace.text), .text(app.rawValue), .text(claims.id.rawValue),
        .text(token.hash.text), .text(claims.json.canonicalText), .integer(claims.expiresAt.milliseconds),
      ])
  }

  /// The token of a trace's session that was delivered to an app and not revoked since; nil when there is none.
  static func token(
    of app: AppID, in trace: TraceID, of mas: MASID, from storage: any StorageDriver
  ) async throws(StorageError) -> VerifiedToken? {
    let rows = try await storage.query(
      Statement(
        """
        SELECT deliveries.claims AS claims, deliveries.sha256 AS sha256 FROM deliveries
        JOIN tokens ON tokens.jti = deliveries.jti
        WHERE deliveries.mas_id = $1 AND deliveries.trace_id = $2 AND deliveries.app_id = $3
        AND tokens.revoked_at IS NULL
        """, [.text(mas.rawValue), .text(trace.text), .text(app.rawValue)]))
    guard let row = rows.first else { return nil }
    guard let json = try? JSONValue(parsing: try row.text("claims")), let claims = TokenClaims(json: json),
      let hash = TokenHash(try row.text("sha256"))
    else { throw .corrupt("a delivered token's claims can't be read") }
    return VerifiedToken(claims: claims, hash: hash)
  }
}
