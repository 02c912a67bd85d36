import AgentProtocols
import CASACore
import IntentChecks
import Storage
import Traces

extension AuthorizationServer {
  /// Exchanges a T1 for a narrower token (RFC 8693): another app's T1, a T2, or a T3 for one call, which the
  /// MAS's checks must allow.
  public func exchange(
    _ request: ExchangeRequest, by client: AuthenticatedClient
  ) async throws(OAuthError) -> TokenResponse {
    let start = ContinuousClock.now
    let app = client.app
    guard let subject = live(request.subject) else {
      let error = OAuthError(
        .invalidRequest, "`subject_token` is not a live token of this runtime", reason: .tokenInactive)
      try await recordRefusal(error, of: request, by: app, subject: nil, decision: nil)
      throw error
    }
    try await takeUpSession(of: subject)
    let grant: Grant
    do {
      grant = try await self.grant(request, to: app, subject: subject)
    } catch {
      try await recordRefusal(error.cause, of: request, by: app, subject: subject, decision: error.decision)
      throw error.cause
    }
    let token = try signer.sign(grant.claims)
    var payload = description(of: token, parent: subject)
    if let decision = grant.decision { payload["decision"] = decision.json }
    if let call = grant.claims.call { payload["call"] = call.json }
    payload["latency_ms"] = .number(((ContinuousClock.now - start).inMilliseconds * 1000).rounded() / 1000)
    var unit = [
      insertion(of: token, parent: subject.claims.id),
      TraceLog.insertion(
        of: TraceEvent(
          .tokenExchanged, at: clock.now(), masID: app.masID, userInputID: subject.claims.userInputID,
          traceID: subject.claims.traceID, appID: app.id, payload: payload)),
    ]
    // Whoever has a token exchanged got it, even if another app's part on the same host answered for its being active.
    let delivery = subject.claims.scope == .userInput ? Delivery(token: subject, app: app.id) : nil
    if let delivery, sessions.isNews(delivery), let insertion = delivery.insertion { unit.append(insertion) }
    do {
      try await storage.commit(unit)
    } catch .unexpectedChanges {
      // Revoked meanwhile, or never issued: a good signature alone is not enough.
      let error = OAuthError(
        .invalidRequest, "`subject_token` is not a live token of this runtime", reason: .tokenInactive)
      try await recordRefusal(error, of: request, by: app, subject: subject, decision: nil)
      throw error
    } catch {
      throw Self.storageFailure
    }
    verifier.remember(token)
    if let delivery { sessions.record(delivery) }
    return TokenResponse(token: token, decision: grant.decision, reportsResult: grant.reportsResult)
  }

  private struct Grant {
    var claims: TokenClaims
    var decision: Decision?
    var reportsResult = false
  }

  private struct Refusal: Error {
    let cause: OAuthError
    var decision: Decision?
  }

  /// Decides; records nothing.
  private func grant(
    _ request: ExchangeRequest, to app: App, subject: VerifiedToken
  ) async throws(Refusal) -> Grant {
    do {
      let scope = try admissibleScope(request, app: app, subject: subject)
      let parent = subject.claims
      let now = Timestamp(seconds: clock.now().seconds)
      var claims = parent
      claims.audience = [Audience.mas(app.masID)]
      claims.clientID = app.id
      claims.issuedAt = now
      claims.notBefore = now
      claims.expiresAt = try expiry(from: now, requested: request.narrowing.lifetime, limit: parent.expiresAt)
      claims.id = .random(prefix: "tok")
      claims.scope = scope
      claims.mayAct = nil
      if parent.actors.first != app.id { claims.actors.insert(app.id, at: 0) }
      guard claims.actors.count <= TokenClaims.maximumActors else {
        throw OAuthError(.invalidRequest, "the chain of delegation would be longer than \(TokenClaims.maximumActors)")
      }
      if let asked = request.narrowing.tools {
        guard Set(asked).isSubset(of: parent.tools) else {
          throw OAuthError(
            .invalidScope, "`tools` may only be among the subject token's tools", reason: .insufficientScope)
        }
        claims.tools = asked
      }
      guard (scope == .callTools) == (request.call != nil) else {
        throw OAuthError(
          .invalidAuthorizationDetails,
          "`authorization_details` names the one call of a call-tools token and belongs to no other")
      }
      switch scope {
      case .userInput: try narrow(&claims, toCallee: request.narrowing.audience, of: app)
      case .llmAccess:
        guard request.narrowing.audience == nil else {
          throw OAuthError(.invalidTarget, "an llm-access token takes no `audience`: it never leaves its sidecar")
        }
        claims.tools = []
      case .callTools, .discoverTools: break
      }
      guard let call = request.call else { return Grant(claims: claims, decision: nil) }
      return try await grant(call, claims: claims, request: request, app: app)
    } catch let refusal as Refusal {
      throw refusal
    } catch let error as OAuthError {
      throw Refusal(cause: error, decision: nil)
    } catch {
      throw Refusal(cause: OAuthError(.serverError, "the exchange failed"), decision: nil)
    }
  }

  /// Who may exchange what for what: the token must have been delivered to this app, and it may only narrow.
  private func admissibleScope(
    _ request: ExchangeRequest, app: App, subject: VerifiedToken
  ) throws(OAuthError) -> Scope {
    let claims = subject.claims
    guard claims.masID == app.masID, claims.clientID == app.id || claims.isAddressed(to: app.id),
      claims.mayAct == nil || claims.mayAct == app.id
    else {
      throw OAuthError(
        .invalidRequest, "`subject_token` was not delivered to this client", reason: .tokenNotForThisApp)
    }
    guard app.kind != .mcpServer else {
      throw OAuthError(.unauthorizedClient, "an MCP server answers calls and makes none")
    }
    if let actor = request.actor {
      guard let verified = live(actor), verified.claims.clientID == app.id, verified.claims.masID == app.masID else {
        throw OAuthError(.invalidRequest, "`actor_token` is not a live token of this client", reason: .tokenInactive)
      }
    }
    guard let scope = request.narrowing.scope else {
      throw OAuthError(.invalidScope, "`scope` must be one of user-input, llm-access and call-tools")
    }
    guard claims.scope.permitsExchange(to: scope) else {
      throw OAuthError(
        .invalidScope, "a token of scope \(claims.scope.rawValue) can't be exchanged for \(scope.rawValue)",
        reason: .insufficientScope)
    }
    return scope
  }

  private func narrow(_ claims: inout TokenClaims, toCallee audience: String?, of app: App) throws(OAuthError) {
    guard let audience else {
      throw OAuthError(.invalidTarget, "name the app you are about to call in `audience`")
    }
    let callee = try self.app(audience, in: app.masID)
    guard callee.kind != .client, callee.id != app.id else {
      throw OAuthError(.invalidTarget, "`audience` must be another agent or an MCP server")
    }
    claims.audience.append(Audience.app(callee.id))
    if callee.kind == .mcpServer {
      let offered = Set(registry.tools(of: callee.id).filter(\.isPinned).map(\.name))
      claims.tools = claims.tools.filter(offered.contains)
    }
  }

  private func grant(
    _ call: ToolCall, claims subject: TokenClaims, request: ExchangeRequest, app: App
  ) async throws -> Grant {
    var claims = subject
    guard let server = registry.app(named: call.server, in: app.masID), server.kind == .mcpServer,
      let mas = registry.mas(app.masID), let session = claims.userInputID
    else {
      throw OAuthError(.invalidTarget, "`server` must be the name of an MCP server of this MAS")
    }
    if let audience = request.narrowing.audience {
      guard try self.app(audience, in: app.masID).id == server.id else {
        throw OAuthError(.invalidTarget, "`audience` and the call's `server` name different apps")
      }
    }
    try await refresh(session)
    try refuseAfterNearMisses(call, at: server, in: session, of: mas)
    let wanted = CallsUnderWay.Call(server: server.id, tool: call.tool, argumentsSHA256: call.argumentsSHA256)
    guard let others = sessions.begin(wanted, by: app.id, in: session, at: clock.now()) else {
      throw OAuthError(
        .accessDenied, "more than \(CallsUnderWay.maximum) calls of this session wait to be carried out",
        reason: .sessionRateLimited, retryAfter: Int(configuration.tokenLifetime.components.seconds))
    }
    var grantedUntil: Timestamp?
    defer { sessions.end(wanted, in: session, grantedUntil: grantedUntil) }
    let question = try await question(
      about: call, of: app, at: server, in: session, tools: claims.tools, othersUnderWay: others, for: mas)
    let checks = ToolCallChecks(
      enabled: mas.settings.enabledToolChecks, allowUndecided: mas.settings.allowUndecided, models: models,
      policy: mas.settings.intent)
    // Texts may take a second to compare: not on the event loop that serves other connections too.
    let decision =
      mas.settings.enabledToolChecks.contains(where: \.asksModels)
      ? await withTaskExecutorPreference(globalConcurrentExecutor) { await checks.decide(question) }
      : await checks.decide(question)
    if case .refuse(let reason) = decision.verdict {
      if reason.isNearMiss { sessions.recordNearMiss(in: session, at: clock.now()) }
      throw Refusal(
        cause: OAuthError(
          .accessDenied, "the call of \(call.tool) was refused", reason: reason, decisionID: decision.id),
        decision: decision)
    }
    // Others of the session may have been refused while this one was looked at.
    try await refresh(session)
    try refuseAfterNearMisses(call, at: server, in: session, of: mas)
    // Whatever the checks say: a token never grants a tool that its subject did not.
    guard claims.tools.contains(call.tool) else {
      throw Refusal(
        cause: OAuthError(
          .accessDenied, "the subject token does not grant \(call.tool)", reason: .insufficientScope,
          decisionID: decision.id),
        decision: decision)
    }
    claims.audience = [Audience.app(server.id)]
    claims.tools = [call.tool]
    claims.call = ToolCallBinding(server: call.server, tool: call.tool, argumentsSHA256: call.argumentsSHA256)
    grantedUntil = claims.expiresAt
    return Grant(
      claims: claims, decision: decision,
      reportsResult: mas.settings.enabledToolChecks.contains(.argumentGrounding))
  }

  private func refuseAfterNearMisses(
    _ call: ToolCall, at server: App, in session: UserInputID, of mas: MAS
  ) throws(OAuthError) {
    let nearMisses = sessions.nearMisses(in: session)
    guard nearMisses.count < mas.settings.intent.maximumNearMisses else {
      throw OAuthError(
        .accessDenied, "too many calls of this session were refused; it takes a new request of the user's to go on",
        reason: .sessionLocked)
    }
    guard let pause = nearMisses.pause(at: clock.now()) else { return }
    // Reading on does no harm meanwhile.
    if let tool = registry.tool(call.tool, of: server.id),
      mas.settings.intent.isPlainRead(call, of: tool.toolDescription)
    {
      return
    }
    throw OAuthError(
      .accessDenied, "a call of this session was refused a moment ago; only reads pass for another \(pause) s",
      reason: .sessionRateLimited, retryAfter: pause)
  }

  private func recordRefusal(
    _ error: OAuthError, of request: ExchangeRequest, by app: App, subject: VerifiedToken?, decision: Decision?
  ) async throws(OAuthError) {
    var payload: [String: JSONValue] = [
      "error": .string(error.code.rawValue), "reason": error.reason.map { .string($0.rawValue) } ?? .null,
      "explanation": .string(error.description), "subject_token_sha256": .string(request.subject.hash.text),
      "scope": request.narrowing.scope.map { .string($0.rawValue) } ?? .null,
    ]
    if let pause = error.retryAfter { payload["retry_after"] = .number(Double(pause)) }
    if let decision { payload["decision"] = decision.json }
    if let call = request.call {
      payload["call"] =
        ToolCallBinding(server: call.server, tool: call.tool, argumentsSHA256: call.argumentsSHA256).json
    }
    // A token of another MAS says nothing about this one's sessions.
    let session = subject?.claims.masID == app.masID ? subject?.claims : nil
    do {
      try await traces.append([
        TraceEvent(
          .exchangeRefused, at: clock.now(), masID: app.masID, userInputID: session?.userInputID,
          traceID: session?.traceID, appID: app.id, payload: payload)
      ])
    } catch {
      throw Self.storageFailure
    }
  }
}
