public import CASACore
import Crypto
import IntentChecks
import Storage
import Synchronization
import Traces

extension AuthorizationServer {
  /// Issues a T1 for what a user asked (RFC 6749 section 4.4 with a user's input).
  public func issue(_ request: IssueRequest, to client: AuthenticatedClient) async throws(OAuthError) -> TokenResponse {
    let app = client.app
    guard app.kind == .client else {
      throw OAuthError(
        .unauthorizedClient, "only an app of kind client speaks for users; an \(app.kind.rawValue) exchanges tokens")
    }
    guard request.narrowing.scope ?? .userInput == .userInput else {
      throw OAuthError(.invalidScope, "this grant gives the scope user-input only; exchange its token for others")
    }
    var audience = [Audience.mas(app.masID)]
    if let named = request.narrowing.audience {
      let destination = try self.app(named, in: app.masID)
      guard destination.kind != .client else {
        throw OAuthError(
          .invalidTarget, "`audience` must be an agent or an MCP server; \(destination.name) is a client")
      }
      audience.append(Audience.app(destination.id))
    }
    var tools = registry.pinnedTools(of: app.masID)
    if let asked = request.narrowing.tools {
      let offered = Set(tools)
      if let unknown = asked.first(where: { !offered.contains($0) }) {
        throw OAuthError(
          .invalidScope, "no MCP server of this MAS offers an approved tool \(unknown)", reason: .unknownTool)
      }
      tools = asked
    }
    let now = Timestamp(seconds: clock.now().seconds)
    let expiresAt = try expiry(from: now, requested: request.narrowing.lifetime, limit: nil)
    var unit: [Statement] = []
    let input: UserInput
    switch request.input {
    case .stored(let id):
      let stored: UserInput?
      do {
        stored = try await sessions.resume(id, liveUntil: expiresAt)
      } catch {
        throw Self.storageFailure
      }
      guard let stored, stored.masID == app.masID, stored.appID == app.id else {
        throw OAuthError(.invalidRequest, "this client stored no user input with that `user_input_id`")
      }
      if let traceID = request.traceID, traceID != stored.traceID {
        throw OAuthError(.invalidRequest, "the trace id is not the one this user input began with")
      }
      input = stored
    case .text(let text):
      input = UserInput(
        id: .random(prefix: "inp"), masID: app.masID, appID: app.id, traceID: request.traceID ?? .random(),
        sha256: lowercaseHex(SHA256.hash(data: Array(text.utf8))), createdAt: clock.now())
      unit = [insertion(of: input, text: text), TraceLog.insertion(of: event(for: input, bytes: text.utf8.count))]
    }
    let token = try signer.sign(
      TokenClaims(
        issuer: configuration.issuer, subject: app.id, audience: audience, clientID: app.id, issuedAt: now,
        notBefore: now, expiresAt: expiresAt, id: .random(prefix: "tok"), scope: .userInput, actors: [],
        masID: app.masID, userInputID: input.id, traceID: input.traceID, userInputSHA256: input.sha256, tools: tools,
        call: nil))
    unit.append(insertion(of: token, parent: nil))
    let delivery = Delivery(token: VerifiedToken(claims: token.claims, hash: token.hash), app: app.id)
    if let insertion = delivery.insertion { unit.append(insertion) }
    unit.append(
      TraceLog.insertion(
        of: TraceEvent(
          .tokenIssued, at: clock.now(), masID: app.masID, userInputID: input.id, traceID: input.traceID,
          appID: app.id, payload: description(of: token, parent: nil))))
    if case .text = request.input {
      guard sessions.begin(input, liveUntil: expiresAt) else {
        throw OAuthError(.temporarilyUnavailable, "too many sessions are live; try again later", reason: .overloaded)
      }
    }
    do {
      try await storage.commit(unit)
    } catch {
      // What is not stored is no session, and may not take the place of one.
      if case .text = request.input { sessions.abandon(input.id) }
      if case .unexpectedChanges = error {
        throw OAuthError(.invalidRequest, "the user input is no longer stored; send the user's input anew")
      }
      guard error == .conflict else { throw Self.storageFailure }
      throw OAuthError(
        .invalidRequest, "the trace id belongs to another session; begin each user's input with a new one")
    }
    verifier.remember(token)
    if case .text(let text) = request.input, registry.mas(app.masID)?.settings.asksModels ?? false {
      prompts.withLock { $0[input.id] = text }
      models.announce(.task(text))
    }
    sessions.record(delivery)
    return TokenResponse(token: token, decision: nil)
  }

  private func insertion(of input: UserInput, text: String) -> Statement {
    Statement(
      """
      INSERT INTO user_inputs (id, mas_id, app_id, trace_id, text, sha256, created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .text(input.id.rawValue), .text(input.masID.rawValue), .text(input.appID.rawValue), .text(input.traceID.text),
        .text(text), .text(input.sha256), .integer(input.createdAt.milliseconds),
      ], expectedChanges: 1)
  }

  private func event(for input: UserInput, bytes: Int) -> TraceEvent {
    TraceEvent(
      .userInputReceived, at: input.createdAt, masID: input.masID, userInputID: input.id, traceID: input.traceID,
      appID: input.appID, payload: ["sha256": .string(input.sha256), "bytes": .number(Double(bytes))])
  }

  /// Issues a token with which an app may open a connection to a callee and list what it offers, in no session and
  /// for nothing else; good for at most the tokens' lifetime.
  public func discover(_ request: DiscoverRequest, by client: AuthenticatedClient) async throws(OAuthError)
    -> TokenResponse
  {
    let app = client.app
    guard app.kind != .mcpServer else {
      throw OAuthError(.unauthorizedClient, "an MCP server answers calls and makes none")
    }
    let callee = try self.app(request.audience, in: app.masID)
    guard callee.kind != .client, callee.id != app.id else {
      throw OAuthError(.invalidTarget, "`audience` must be another agent or an MCP server")
    }
    let now = Timestamp(seconds: clock.now().seconds)
    let token = try signer.sign(
      TokenClaims(
        issuer: configuration.issuer, subject: app.id,
        audience: [Audience.mas(app.masID), Audience.app(callee.id)], clientID: app.id, issuedAt: now, notBefore: now,
        expiresAt: now + configuration.tokenLifetime, id: .random(prefix: "tok"), scope: .discoverTools, actors: [],
        masID: app.masID, userInputID: nil, traceID: .random(), userInputSHA256: nil, tools: [], call: nil))
    do {
      try await storage.commit([
        insertion(of: token, parent: nil),
        TraceLog.insertion(
          of: TraceEvent(
            .tokenIssued, at: clock.now(), masID: app.masID, appID: app.id,
            payload: description(of: token, parent: nil))),
      ])
    } catch {
      throw Self.storageFailure
    }
    verifier.remember(token)
    return TokenResponse(token: token, decision: nil)
  }

  /// Issues the token of a session again to an app that it was delivered to, whose part was started anew and has lost
  /// it. The new token says what the delivered one said and ends with it.
  public func resume(_ trace: TraceID, by client: AuthenticatedClient) async throws(OAuthError) -> TokenResponse {
    let app = client.app
    let unknown = OAuthError(
      .invalidRequest, "no live session of this trace was delivered to this client", reason: .sessionUnknown)
    let found: VerifiedToken?
    do {
      found = try await Delivery.token(of: app.id, in: trace, of: app.masID, from: storage)
    } catch {
      throw Self.storageFailure
    }
    guard let delivered = found, isLive(delivered) else { throw unknown }
    let now = Timestamp(seconds: clock.now().seconds)
    var claims = delivered.claims
    claims.issuedAt = now
    claims.notBefore = now
    claims.id = .random(prefix: "tok")
    let token = try signer.sign(claims)
    do {
      try await storage.commit([
        insertion(of: token, parent: delivered.claims.id),
        TraceLog.insertion(
          of: TraceEvent(
            .tokenIssued, at: clock.now(), masID: app.masID, userInputID: claims.userInputID, traceID: trace,
            appID: app.id, payload: description(of: token, parent: delivered))),
      ])
    } catch .unexpectedChanges {
      throw unknown
    } catch {
      throw Self.storageFailure
    }
    verifier.remember(token)
    return TokenResponse(token: token, decision: nil)
  }

  /// A token with which the runtime itself lists one MCP server's tools; good for a minute and nothing else.
  public func discoveryToken(for app: App) throws(OAuthError) -> IssuedToken {
    let now = Timestamp(seconds: clock.now().seconds)
    let token = try signer.sign(
      TokenClaims(
        issuer: configuration.issuer, subject: Self.runtimeID,
        audience: [Audience.mas(app.masID), Audience.app(app.id)],
        clientID: Self.runtimeID, issuedAt: now, notBefore: now, expiresAt: now + .seconds(60),
        id: .random(prefix: "tok"), scope: .discoverTools, actors: [], masID: app.masID, userInputID: nil,
        traceID: .random(), userInputSHA256: nil, tools: [], call: nil))
    ownTokens.withLock { $0[token.hash] = true }
    return token
  }
}
