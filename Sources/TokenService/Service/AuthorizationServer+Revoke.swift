import CASACore
import Storage
import Synchronization
import Traces

extension AuthorizationServer {
  /// Ends a token of this client and every token exchanged from it (RFC 7009). A token that is not this
  /// client's, or is none, is answered the same way and left alone.
  public func revoke(_ token: UnverifiedToken, by client: AuthenticatedClient) async throws(OAuthError) {
    guard let verified = verifier.verify(token), verified.claims.masID == client.app.masID,
      verified.claims.clientID == client.app.id
    else { return }
    let claims = verified.claims
    let now = clock.now()
    func descendants(of parameter: String) -> String {
      """
      WITH RECURSIVE family (jti) AS (
        SELECT jti FROM tokens WHERE jti = \(parameter)
        UNION SELECT tokens.jti FROM tokens JOIN family ON tokens.parent_jti = family.jti)
      SELECT jti FROM family
      """
    }
    let jti = SQLValue.text(claims.id.rawValue)
    do {
      // Marked in one transaction: a child can only be stored before it, and is found, or after it, and is refused.
      try await storage.commit([
        Statement(
          """
          UPDATE tokens SET revoked_at = COALESCE(revoked_at, $1) WHERE jti IN (\(descendants(of: "$2")))
          """, [.integer(now.milliseconds), jti]),
        TraceLog.insertion(
          of: TraceEvent(
            .tokenRevoked, at: now, masID: claims.masID, userInputID: claims.userInputID, traceID: claims.traceID,
            appID: client.app.id, payload: ["token_sha256": .string(verified.hash.text)])),
      ])
      let family = try await storage.query(
        Statement("SELECT jti, expires_at FROM tokens WHERE jti IN (\(descendants(of: "$1")))", [jti]))
      var dead: [TokenID: Timestamp] = [:]
      for row in family {
        dead[TokenID(try row.text("jti"))] = Timestamp(milliseconds: try row.integer("expires_at"))
      }
      let ended = dead
      revoked.withLock { $0.merge(ended) { $1 } }
      revocations.publish(claims.userInputID, of: claims.masID)
    } catch {
      throw Self.storageFailure
    }
  }
}
