import AgentProtocols
import AsyncHTTPClient
import CASACore
import Enforcement
import Logging
import Sidecar
import Synchronization

/// One workload behind a sidecar: what decides about every request that enters or leaves it.
///
/// What can be decided by a request and facts alone is decided by `IngressCall` and `EgressCall`; this gets the facts.
final class GuardedWorkload: Sendable {
  let workload: Workload
  let runtime: RuntimeClient
  let identities: IdentitySource
  /// Each workload's own: that it asked about a session's token is how the runtime knows that it was delivered to it.
  let active: ActiveTokens
  let sessions: LiveSessions
  let reporter: CallReporter
  let clock: WallClock
  let metrics: AuthorizationMetrics
  private let held: HeldTokens
  private let claimed = ClaimedTokens(capacity: 2048)
  private let owners = Mutex(GenerationalCache<MCPSessionID, AppID>(capacity: 50_000))
  private let discovery = Mutex([AppID: HeldToken]())
  private let points: [Listener: EnforcementPoint]
  private let listenersByAuthority: [String: Listener]
  /// The LLM's API keys by listener, for those the sidecar keeps.
  private let apiKeys: [Listener: String]

  /// - Throws: `ConfigurationError` when a secret can't be read.
  init(
    _ workload: Workload, http: HTTPClient, clock: WallClock, metrics: AuthorizationMetrics = AuthorizationMetrics(),
    logger: Logger
  ) throws(ConfigurationError) {
    let secret = try SecretFile.read(workload.clientSecretFile, what: "the app's client secret")
    var keys: [Listener: String] = [:]
    for (index, egress) in workload.egress.enumerated() {
      guard case .llm(let file?) = egress.destination else { continue }
      keys[.egress(index)] = try SecretFile.read(file, what: "the LLM's API key")
    }
    apiKeys = keys
    points = workload.enforcementPoints
    listenersByAuthority = workload.listenersByAuthority
    self.workload = workload
    self.clock = clock
    self.metrics = metrics
    active = ActiveTokens(clock: clock)
    var base = workload.runtime.description
    while base.hasSuffix("/") { base.removeLast() }
    runtime = RuntimeClient(
      http: http, baseURL: base,
      authorization: BasicCredentials.headerValue(userID: workload.clientID.rawValue, password: secret), clock: clock,
      logger: logger)
    identities = IdentitySource(runtime: runtime)
    held = HeldTokens(clock: clock)
    sessions = LiveSessions(clock: clock)
    reporter = CallReporter(runtime: runtime, logger: logger)
  }

  /// The way out to the destination that a request names, for a proxy that has one listener for all of them.
  /// - Parameter host: as the proxy read it.
  /// - Returns: nil when the workload has no such destination.
  func egress(to host: ArraySlice<UInt8>) -> Listener? {
    guard host.count <= 512, host.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
    return listenersByAuthority[String(decoding: host, as: UTF8.self).lowercased()]
  }

  /// Decides about a request at `listener` and records what was decided.
  func decide(
    _ request: InterceptedRequest, at listener: Listener
  ) async -> (result: Result<Admission, Refusal>, record: RequestRecord) {
    let start = ContinuousClock.now
    var record = RequestRecord(direction: listener.direction)
    let result: Result<Admission, Refusal>
    do throws(Refusal) {
      guard let point = points[listener] else {
        throw Refusal(.destinationNotAllowed, "this workload has nothing at that listener")
      }
      result = .success(
        point.side == .ingress
          ? try await admit(request, at: point, record: &record)
          : try await release(request, at: point, apiKey: apiKeys[listener], record: &record))
    } catch {
      result = .failure(error)
      record.requestID = record.requestID ?? error.requestID
    }
    var (refusal, decisionID): (Refusal?, String?)
    switch result {
    case .success(let admission):
      record.tokenHash = admission.tokenHash ?? record.tokenHash
      record.userInputID = admission.userInputID ?? record.userInputID
      decisionID = admission.decisionID
    case .failure(let error): (refusal, decisionID) = (error, error.decisionID)
    }
    reporter.report(
      record.event(refusal: refusal, decisionID: decisionID, latency: ContinuousClock.now - start))
    return (result, record)
  }

  /// Forgets what it holds of sessions in which something was revoked; the runtime is asked anew.
  func forget(_ sessions: Set<UserInputID>) { active.forget(sessions) }

  func forgetAll() { active.forgetAll() }

  // MARK: Ingress

  private func admit(
    _ request: InterceptedRequest, at point: EnforcementPoint, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    let identity = try await identities.identity()
    let call = try IngressCall(request, at: point, identity: identity, tokens: claimed, record: &record)
    try call.check(sessionOwner: call.mcpSession.flatMap { session in owners.withLock { $0[session] } })
    if call.usesUpToken {
      // The runtime's own copy of the claims is the one that counts; it is what the token says or this is no token
      // of ours.
      guard try await runtime.spend(call.token.compact) == call.token.claims else {
        throw Refusal(.tokenMalformed, "the token does not say what the runtime says of it")
      }
    } else {
      try await requireActive(call.token.claims, compact: call.token.compact, hash: call.token.hash)
    }
    var admission = try call.admission(record: &record)
    if identity.kind == .agent, let trace = call.token.claims.traceID {
      try sessions.take(
        call.token.compact, expiresAt: call.token.claims.expiresAt, in: trace, text: call.text,
        contextID: call.contextID, from: call.caller)
    }
    var facts = DecisionFacts()
    facts.identity = identity
    if let session = call.mcpSession {
      let owner = owners.withLock { owners in
        let owner = owners[session] ?? call.caller
        owners[session] = owner
        return owner
      }
      // Another app may have been first while the runtime was asked.
      try call.check(sessionOwner: owner)
      facts.sessionOwner = DecisionFacts.SessionOwner(session: session, app: owner)
    }
    if !call.usesUpToken, let activity = active.activity(of: call.token.hash), activity.isActive {
      let lifetime = Duration.milliseconds(activity.until.milliseconds - clock.now().milliseconds)
      facts.activeToken = DecisionFacts.ActiveToken(
        hash: call.token.hash, session: call.token.claims.userInputID, lifetime: lifetime)
      // An agent is told something new with each message, and finds sessions by it.
      if identity.kind != .agent { admission.reuse = lifetime }
    }
    admission.facts = facts
    return admission
  }

  /// Asks the runtime whether a token is active, as often as `ActiveTokens` says.
  private func requireActive(
    _ claims: TokenClaims, compact: String, hash: TokenHash
  ) async throws(Refusal) {
    let known = active.isActive(hash)
    metrics.count(.activeTokens, isFound: known != nil)
    if let isActive = known {
      guard isActive, claims.expiresAt > clock.now() else { throw Refusal(.tokenInactive, "the token is not active") }
      return
    }
    let forgettings = active.forgettings
    let answer = try await runtime.introspect(compact)
    guard answer == nil || answer == claims else {
      throw Refusal(.tokenMalformed, "the token does not say what the runtime says of it")
    }
    active.keep(answer, for: hash, askedAt: forgettings)
    guard answer != nil else { throw Refusal(.tokenInactive, "the token is not active") }
  }

  // MARK: Egress

  private func release(
    _ request: InterceptedRequest, at point: EnforcementPoint, apiKey: String?, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    let identity: WorkloadIdentity
    if case .app(let name) = point.side {
      identity = try await identities.identity(naming: name)
    } else {
      identity = try await identities.identity()
    }
    let call = try EgressCall(request, at: point, identity: identity, record: &record)
    guard let (trace, session) = try await session(of: call, identity: identity, record: &record) else {
      return try await discover(call, record: &record)
    }
    record.traceID = trace
    let claims = try ClaimedToken(compact: session.compact).claims
    record.userInputID = claims.userInputID
    // With a revoked session ends what was exchanged from it and is held here.
    try await requireActive(claims, compact: session.compact, hash: session.hash)
    guard let purpose = call.purpose else {
      return try await releaseToolCall(call, trace: trace, session: session, claims: claims, record: &record)
    }
    let token = try await token(for: purpose, of: call, session: session, claims: claims, trace: trace)
    try call.check(beginningOf: token)
    var admission = call.admission(with: token, trace: trace, apiKey: apiKey, record: &record)
    // A session found by its content is found so each time.
    if call.namedTrace != nil, let activity = active.activity(of: session.hash), activity.isActive {
      let until = min(activity.until, token.expiresAt - .seconds(2))
      let lifetime = Duration.milliseconds(until.milliseconds - clock.now().milliseconds)
      var facts = DecisionFacts()
      facts.identity = identity
      facts.sessionToken = DecisionFacts.SessionToken(
        trace: trace, purpose: purpose, token: token, apiKey: apiKey, lifetime: lifetime)
      admission.facts = facts
      admission.reuse = lifetime
    }
    return admission
  }

  /// The session that a call belongs to; nil when it belongs to none and need not.
  private func session(
    of call: EgressCall, identity: WorkloadIdentity, record: inout RequestRecord
  ) async throws(Refusal) -> (TraceID, LiveSessions.Session)? {
    if let trace = call.namedTrace {
      if let session = sessions.session(trace) { return (trace, session) }
      if identity.kind == .client {
        // A client looks at an agent's card before it says anything, in the trace in which it will.
        if call.isDiscovery { return nil }
        // A client begins sessions: what it sends to an agent is the user's input. Without any it goes on with one.
        if case .agent(nil, _) = call.content { return (trace, try await resume(trace)) }
        return (trace, try await begin(call, in: trace))
      }
      return (trace, try await resume(trace))
    }
    if identity.kind == .client, case .agent(_?, _) = call.content {
      let trace = TraceID.random()
      return (trace, try await begin(call, in: trace))
    }
    switch sessions.find(call.content) {
    case .one(let trace, let correlation):
      guard let session = sessions.session(trace) else { throw Self.unknown }
      record.correlation = correlation
      return (trace, session)
    case .several:
      if call.isDiscovery { return nil }
      throw Refusal(
        .sessionAmbiguous, "the call could belong to more than one session; propagate `traceparent` to say which")
    case .none:
      // A client looks at an agent's card before it says anything.
      if identity.kind == .client, call.isDiscovery { return nil }
      throw Refusal(
        .traceContextMissing,
        "the call belongs to no session: it has no `traceparent` of one in version 00 of W3C Trace Context, nor anything of one"
      )
    }
  }

  private static let unknown = Refusal(
    .sessionUnknown, "no session of this trace was delivered to this workload, or it has ended")

  private func begin(_ call: EgressCall, in trace: TraceID) async throws(Refusal) -> LiveSessions.Session {
    guard case .agent(let text, let contextID) = call.content, let callee = call.callee else { throw Self.unknown }
    guard let text else {
      throw Refusal(.userInputMissing, "the first message of a trace must carry the user's input")
    }
    let forgettings = active.forgettings
    let granted = try await runtime.issue(userInput: text, traceID: trace, audience: callee)
    try sessions.take(
      granted.compact, expiresAt: granted.expiresAt, in: trace, text: text, contextID: contextID, from: nil)
    guard let claims = try? ClaimedToken(compact: granted.compact).claims else { throw Self.unknown }
    active.keep(claims, for: granted.hash, askedAt: forgettings)
    return LiveSessions.Session(compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt)
  }

  /// The session may have been delivered before this service was started anew: the runtime knows.
  private func resume(_ trace: TraceID) async throws(Refusal) -> LiveSessions.Session {
    let granted: RuntimeClient.GrantedToken
    do {
      granted = try await runtime.resume(trace)
    } catch {
      throw error.reason == .runtimeUnavailable ? error : Self.unknown
    }
    try sessions.take(granted.compact, expiresAt: granted.expiresAt, in: trace, text: nil, contextID: nil, from: nil)
    return LiveSessions.Session(compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt)
  }

  /// A token exchanged once and used again for the same purpose in the same session.
  private func token(
    for purpose: TokenPurpose, of call: EgressCall, session: LiveSessions.Session, claims: TokenClaims, trace: TraceID
  ) async throws(Refusal) -> HeldToken {
    // A client's first token is for the agent it began with.
    if case .call(let callee) = purpose, claims.actors.isEmpty, claims.clientID == workload.clientID,
      claims.isAddressed(to: callee)
    {
      return HeldToken(
        compact: session.compact, hash: session.hash, expiresAt: session.expiresAt, userInputID: claims.userInputID,
        parent: nil, promptDigest: claims.userInputSHA256)
    }
    let known = held.held(purpose, in: trace, from: session.hash)
    metrics.count(.exchangedTokens, isFound: known != nil)
    if let known { return known }
    let granted = try await runtime.exchange(
      session.compact, scope: purpose == .llm ? .llmAccess : .userInput, audience: call.callee)
    let token = HeldToken(
      compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt, userInputID: claims.userInputID,
      parent: session.hash, promptDigest: claims.clientID == workload.clientID ? claims.userInputSHA256 : nil)
    held.hold(token, for: purpose, in: trace)
    return token
  }

  /// One call, one token: never held, never used again.
  private func releaseToolCall(
    _ call: EgressCall, trace: TraceID, session: LiveSessions.Session, claims: TokenClaims,
    record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    guard case .toolCall(let toolCall) = call.content else {
      throw Refusal(.malformedRequest, "this is no tool call")
    }
    let granted = try await runtime.exchange(session.compact, scope: .callTools, call: toolCall)
    sessions.use(toolCall.tool, argumentsSHA256: toolCall.argumentsSHA256, in: trace)
    let token = HeldToken(
      compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt, userInputID: claims.userInputID,
      parent: session.hash)
    var admission = call.admission(
      with: token, trace: trace, apiKey: nil, reportsResult: granted.reportsResult, record: &record)
    admission.decisionID = granted.decisionID
    return admission
  }

  /// A connection that serves many sessions is opened in none of them, with a token that is good for nothing else.
  private func discover(_ call: EgressCall, record: inout RequestRecord) async throws(Refusal) -> Admission {
    guard let callee = call.callee else { throw Self.unknown }
    let limit = clock.now() + .seconds(2)
    let token: HeldToken
    if let known = discovery.withLock({ $0[callee] }), known.expiresAt > limit {
      token = known
    } else {
      let granted = try await runtime.discover(audience: callee)
      token = HeldToken(
        compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt, userInputID: nil, parent: nil)
      discovery.withLock { $0[callee] = token }
    }
    return call.admission(with: token, trace: nil, apiKey: nil, record: &record)
  }

  // MARK: Answers

  /// Stores which calls the LLM selected, before the agent gets to know them.
  /// - Parameter evidence: the T2 of the request.
  func record(_ selections: [ToolSelection], evidence: String) async throws(Refusal) {
    try await runtime.record([
      [
        "kind": "llm_call", "token": .string(evidence),
        "selections": .array(
          selections.map { ["tool": .string($0.tool.text), "arguments_sha256": .string($0.argumentsSHA256)] }),
      ]
    ])
    if let trace = try ClaimedToken(compact: evidence).claims.traceID { sessions.select(selections, in: trace) }
  }

  /// Stores what a tool answered, before the agent gets to know it.
  /// - Parameter evidence: the T3 of the call.
  func record(_ result: ToolResultContent, evidence: String) async throws(Refusal) {
    try await runtime.record([
      [
        "kind": "tool_result", "token": .string(evidence), "text": .string(result.text),
        "truncated": .bool(result.isTruncated), "unread": .array(result.unread.map(JSONValue.string)),
      ]
    ])
  }

  /// A tool's result was not let through.
  /// - Parameter evidence: the T3 of the call, when it is known.
  func report(_ refusal: Refusal, of record: RequestRecord, evidence: String?) {
    var record = record
    if let claims = evidence.flatMap({ try? ClaimedToken(compact: $0).claims }) {
      (record.tool, record.userInputID) = (claims.call?.tool, claims.userInputID)
    }
    reporter.report(record.event(refusal: refusal, decisionID: nil, latency: nil))
  }

  /// A tool was left out of a listing.
  func report(_ withheld: MCPServerAnswer.Withheld, from offer: Offer) {
    var record = RequestRecord(direction: .egress, destination: offer.app.text)
    (record.method, record.tool, record.traceID) = ("tools/list", withheld.tool, offer.trace)
    let refusal =
      withheld.cause == .changed
      ? Refusal(.modifiedMCPToolDefinitions, "the tool is not described as it was when it was approved")
      : Refusal(.unknownTool, "the tool was not approved, or not granted to this session")
    reporter.report(record.event(refusal: refusal, decisionID: nil, latency: nil))
  }

  /// The tools that a listing may show, with their approved definitions' digests.
  func offeredTools(_ offer: Offer) async throws(Refusal) -> [ToolName: String] {
    let tools = try await identities.identity(naming: offer.app).peers[offer.app]?.tools ?? [:]
    guard let trace = offer.trace else { return tools }
    let session = if let live = sessions.session(trace) { live } else { try await resume(trace) }
    let granted = Set(try ClaimedToken(compact: session.compact).claims.tools)
    return tools.filter { granted.contains($0.key) }
  }

  /// A card may lead its reader to the agent's own address only, as this workload calls it.
  func check(_ card: AgentCard, of app: Name) throws(Refusal) {
    let ways = workload.egress.filter { $0.destination == .app(app) }
    for way in ways {
      let origins = way.origins + (way.listen.map { ["http://\($0)"] } ?? [])
      if origins.contains(where: { (try? card.requireEndpoints(at: $0)) != nil }) { return }
    }
    throw Refusal(.destinationNotAllowed, "the agent's card names an address that is not the agent's")
  }
}
