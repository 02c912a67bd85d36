public import CASACore
import Storage
import Traces

extension AuthorizationServer {
  /// Tells an app about a token that is its business: one it holds or one addressed to it (RFC 7662).
  public func introspect(
    _ token: UnverifiedToken, by client: AuthenticatedClient
  ) async throws(OAuthError) -> Introspection {
    guard let verified = live(token), concerns(verified.claims, client.app),
      try await !isRevokedInStorage(verified)
    else {
      introspections.record(token.hash, claims: nil, by: client.app, at: clock.now())
      return .inactive
    }
    try await takeUpSession(of: verified)
    if verified.claims.scope == .callTools {
      do {
        let spent = try await storage.query(
          Statement("SELECT 1 AS spent FROM spent_tokens WHERE jti = $1", [.text(verified.claims.id.rawValue)]))
        if !spent.isEmpty {
          introspections.record(token.hash, claims: nil, by: client.app, at: clock.now())
          return .inactive
        }
      } catch {
        throw Self.storageFailure
      }
    }
    // Whoever asks about a session's token got it: should it lose it, it may have it again.
    if verified.claims.scope == .userInput, client.app.kind != .mcpServer {
      try await record(Delivery(token: verified, app: client.app.id))
    }
    introspections.record(verified.hash, claims: verified.claims, by: client.app, at: clock.now())
    return .active(verified.claims)
  }

  private func record(_ delivery: Delivery) async throws(OAuthError) {
    guard sessions.isNews(delivery), let insertion = delivery.insertion else { return }
    do {
      try await storage.commit([insertion])
    } catch {
      throw Self.storageFailure
    }
    sessions.record(delivery)
  }

  /// Uses up a T3 at the ingress of the MCP server it is addressed to: of all attempts, one succeeds. With it
  /// goes the LLM's selection the token was issued for, so that one selection never carries two calls.
  /// - Throws: `OAuthError` `access_denied` with the reason.
  public func spend(_ token: UnverifiedToken, by client: AuthenticatedClient) async throws(OAuthError) -> TokenClaims {
    guard let verified = live(token), verified.claims.masID == client.app.masID,
      verified.claims.isAddressed(to: client.app.id), verified.claims.scope == .callTools,
      let call = verified.claims.call, let session = verified.claims.userInputID,
      let mas = registry.mas(client.app.masID)
    else {
      throw OAuthError(.accessDenied, "no live tool token addressed to this app", reason: .tokenInactive)
    }
    let claims = verified.claims
    let jti = SQLValue.text(claims.id.rawValue)
    var unit = [
      Statement(
        """
        INSERT INTO spent_tokens (jti, expires_at) SELECT $1, $2
        WHERE EXISTS (SELECT 1 FROM tokens WHERE jti = $3 AND revoked_at IS NULL)
        """, [jti, .integer(claims.expiresAt.milliseconds), jti], expectedChanges: 1)
    ]
    let needsSelection = mas.settings.enabledToolChecks.contains(.deterministicLLMSelectedTools)
    if needsSelection {
      unit.append(
        Statement(
          """
          UPDATE selections SET used_by_jti = $1 WHERE id = (
            SELECT id FROM selections WHERE user_input_id = $2 AND app_id = $3 AND tool = $4
            AND arguments_sha256 = $5 AND used_by_jti IS NULL LIMIT 1)
          """,
          [
            jti, .text(session.rawValue), .text(claims.clientID.rawValue), .text(call.tool.text),
            .text(call.argumentsSHA256),
          ], expectedChanges: 1))
    }
    unit.append(
      TraceLog.insertion(
        of: TraceEvent(
          .tokenSpent, at: clock.now(), masID: claims.masID, userInputID: session, traceID: claims.traceID,
          appID: client.app.id, payload: ["token_sha256": .string(verified.hash.text), "call": call.json])))
    do {
      try await storage.commit(unit)
    } catch .conflict {
      throw try await refusedSpend(.tokenSpent, "the tool token was used before", verified, client.app)
    } catch .unexpectedChanges(statement: 0, _, _) {
      throw try await refusedSpend(.tokenInactive, "the tool token was revoked", verified, client.app)
    } catch .unexpectedChanges {
      throw try await refusedSpend(
        .toolSelectionAlreadyUsed, "the LLM's selection of this call was carried out before", verified, client.app)
    } catch {
      throw Self.storageFailure
    }
    if needsSelection {
      sessions.markUsed(tool: call.tool, argumentsSHA256: call.argumentsSHA256, by: claims.clientID, in: session)
    }
    return claims
  }

  /// Records the refusal before it is answered.
  private func refusedSpend(
    _ reason: RefusalReason, _ explanation: String, _ token: VerifiedToken, _ app: App
  ) async throws(OAuthError) -> OAuthError {
    do {
      try await traces.append([
        TraceEvent(
          .spendRefused, at: clock.now(), masID: app.masID, userInputID: token.claims.userInputID,
          traceID: token.claims.traceID, appID: app.id,
          payload: [
            "token_sha256": .string(token.hash.text), "reason": .string(reason.rawValue),
            "explanation": .string(explanation),
          ])
      ])
    } catch {
      throw Self.storageFailure
    }
    return OAuthError(.accessDenied, explanation, reason: reason)
  }

  private func concerns(_ claims: TokenClaims, _ app: App) -> Bool {
    claims.masID == app.masID && (claims.clientID == app.id || claims.isAddressed(to: app.id))
  }
}
