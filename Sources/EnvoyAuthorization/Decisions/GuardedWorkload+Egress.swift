import AgentProtocols
import CASACore
import Sidecar

/// What leaves a workload: only to its destinations, within a session that was delivered to it, and with a token
/// that the runtime granted for it.
extension GuardedWorkload {
  func release(
    _ request: InterceptedRequest, to egress: Workload.Egress, listener: Listener, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    try request.refuseReservedHeaders()
    _ = try request.single("authorization")
    let identity = try await identities.identity()
    guard identity.kind != .mcpServer else {
      throw Refusal(.destinationNotAllowed, "an MCP server answers calls and makes none")
    }
    switch egress.destination {
    case .llm:
      record.destination = "llm"
      return try await releaseToLLM(request, egress: egress, listener: listener, record: &record)
    case .app(let name):
      record.destination = name.text
      let peer = try await identities.peer(name)
      guard request.path == egress.url.path, !request.hasQuery else {
        throw Refusal(.protocolNotAllowed, "only \(egress.url.path) of \(name) is open, without a query")
      }
      switch peer.kind {
      case .mcpServer: return try await releaseToMCP(request, server: name, peer: peer, record: &record)
      case .agent: return try await releaseToAgent(request, identity: identity, peer: peer, record: &record)
      case .client: throw Refusal(.destinationNotAllowed, "\(name) is a client and takes no calls")
      }
    }
  }

  // MARK: Sessions

  /// The session's token in this trace, which the runtime called active not longer ago than introspection is cached:
  /// with a revoked one ends what was exchanged from it and is held here.
  private func session(_ trace: TraceID) async throws(Refusal) -> SessionTokens.Held {
    guard let held = tokens.held(.session, in: trace) else {
      throw Refusal(.sessionUnknown, "no session of this trace was delivered to this workload, or it has ended")
    }
    _ = try await activeClaims(of: held.compact, held.hash)
    return held
  }

  private func requiredTrace(_ request: InterceptedRequest, bodyTrace: String? = nil) throws(Refusal) -> TraceID {
    let header = try request.traceParent()
    let body = bodyTrace.flatMap { TraceParent($0) }
    if let header, let body, header.traceID != body.traceID {
      throw Refusal(.traceContextMismatch, "the header `traceparent` and the one in `_meta` name different traces")
    }
    guard let parent = header ?? body else {
      throw Refusal(
        .traceContextMissing, "a call needs a `traceparent` of its session, in version 00 of W3C Trace Context")
    }
    return parent.traceID
  }

  /// A token exchanged once and used again for the same purpose in the same session.
  private func exchanged(
    _ purpose: SessionTokens.Purpose, scope: Scope, audience: AppID?, session: SessionTokens.Held, trace: TraceID
  ) async throws(Refusal) -> SessionTokens.Held {
    if let held = tokens.held(purpose, in: trace), held.parent == session.hash { return held }
    let granted = try await runtime.exchange(session.compact, scope: scope, audience: audience)
    let held = SessionTokens.Held(
      compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt, userInputID: session.userInputID,
      parent: session.hash)
    tokens.hold(held, for: purpose, in: trace)
    return held
  }

  private func admission(
    with token: String, _ hash: TokenHash, session: SessionTokens.Held, trace: TraceID,
    request: InterceptedRequest
  ) throws(Refusal) -> Admission {
    var admission = Admission()
    admission.setHeaders = [("authorization", "Bearer " + token)]
    if try request.traceParent() == nil {
      admission.setHeaders.append(("traceparent", TraceParent.random(traceID: trace).text))
    }
    admission.tokenHash = hash
    admission.userInputID = session.userInputID
    return admission
  }

  // MARK: MCP

  private func releaseToMCP(
    _ request: InterceptedRequest, server: Name, peer: WorkloadIdentity.Peer, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    var message: MCPMessage?
    switch request.method {
    case "POST":
      let parsed = try parseMCP(request)
      message = parsed
      record.method = parsed.method
      record.requestID = parsed.id
      if case .toolCall(_, let tool, _) = parsed.content { record.tool = tool }
      if case .restricted(_, let method) = parsed.content {
        throw Refusal(.methodNotAllowed, "\(method.name) is not let through")
      }
    case "GET", "DELETE":
      guard request.body.isEmpty else { throw Refusal(.malformedRequest, "\(request.method) has no body in MCP") }
      record.method = request.method
    default: throw Refusal(.protocolNotAllowed, "MCP uses POST, GET and DELETE")
    }
    let trace = try requiredTrace(request, bodyTrace: message?.traceParent)
    record.traceID = trace
    let session = try await session(trace)
    record.userInputID = session.userInputID
    guard case .toolCall(_, let tool, let arguments) = message?.content else {
      let held = try await exchanged(
        .call(peer.id), scope: .userInput, audience: peer.id, session: session, trace: trace)
      return try admission(with: held.compact, held.hash, session: session, trace: trace, request: request)
    }
    // One call, one token: never held, never used again.
    let granted = try await runtime.exchange(
      session.compact, scope: .callTools, call: ToolCall(server: server, tool: tool, arguments: arguments))
    var admission = try admission(
      with: granted.compact, granted.hash, session: session, trace: trace, request: request)
    admission.decisionID = granted.decisionID
    return admission
  }

  // MARK: Agents

  private func releaseToAgent(
    _ request: InterceptedRequest, identity: WorkloadIdentity, peer: WorkloadIdentity.Peer,
    record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    guard request.method == "POST" else { throw Refusal(.protocolNotAllowed, "A2A uses POST") }
    let path = workload.promptJSONPath
    let (text, id, method) = try userText(of: request, path: path)
    record.method = method
    record.requestID = id
    guard identity.kind == .client else {
      let trace = try requiredTrace(request)
      record.traceID = trace
      let session = try await session(trace)
      record.userInputID = session.userInputID
      let held = try await exchanged(
        .call(peer.id), scope: .userInput, audience: peer.id, session: session, trace: trace)
      return try admission(with: held.compact, held.hash, session: session, trace: trace, request: request)
    }
    // A client begins sessions: what it sends to an agent is the user's input.
    let trace = try request.traceParent()?.traceID ?? .random()
    record.traceID = trace
    if let held = tokens.held(.call(peer.id), in: trace) {
      guard text == nil || held.promptDigest == text.map(textDigest) else {
        throw Refusal(.userInputMismatch, "this trace began with another user input; begin a new one for each")
      }
      return try admission(with: held.compact, held.hash, session: held, trace: trace, request: request)
    }
    guard let text else { throw Refusal(.userInputMissing, "the first message of a trace must carry the user's input") }
    let granted = try await runtime.issue(userInput: text, traceID: trace, audience: peer.id)
    let held = SessionTokens.Held(
      compact: granted.compact, hash: granted.hash, expiresAt: granted.expiresAt, userInputID: granted.userInputID,
      parent: nil, promptDigest: textDigest(text))
    tokens.hold(held, for: .call(peer.id), in: trace)
    tokens.hold(held, for: .session, in: trace)
    record.userInputID = granted.userInputID
    return try admission(with: held.compact, held.hash, session: held, trace: trace, request: request)
  }

  // MARK: The LLM

  private func releaseToLLM(
    _ request: InterceptedRequest, egress: Workload.Egress, listener: Listener, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    let base = egress.url.path.hasSuffix("/") ? String(egress.url.path.dropLast()) : egress.url.path
    guard request.method == "POST", request.path == base + "/chat/completions", !request.hasQuery else {
      throw Refusal(.protocolNotAllowed, "only POST \(base)/chat/completions of the LLM is open")
    }
    record.method = "chat/completions"
    let body = try request.jsonBody()
    do {
      _ = try ChatCompletionRequest(parsing: body)
    } catch {
      throw Refusal(error)
    }
    let trace = try requiredTrace(request)
    record.traceID = trace
    let session = try await session(trace)
    record.userInputID = session.userInputID
    for field in request.headers where Self.holdsToken(field.value) {
      throw Refusal(.tokenSentToLLMHost, "the header `\(field.name.prefix(40))` holds a token of CASA")
    }
    let held = try await exchanged(.llm, scope: .llmAccess, audience: nil, session: session, trace: trace)
    var admission = Admission()
    if let key = apiKeys[listener.name] { admission.setHeaders = [("authorization", "Bearer " + key)] }
    // The answer is read on its way back, so it must come as it is; who asks is no business of the LLM's host.
    admission.removeHeaders = ["accept-encoding", "traceparent", "tracestate", "baggage"]
    admission.llmToken = held.compact
    admission.tokenHash = held.hash
    admission.userInputID = session.userInputID
    return admission
  }

  /// Whether a field's value holds a JWT of the access-token profile (RFC 9068), whoever signed it.
  private static func holdsToken(_ value: String) -> Bool {
    value.split(whereSeparator: { " ,;=\"".contains($0) }).contains { part in
      part.hasPrefix("ey")
        && (try? CompactJWS(parsing: String(part), maximumBytes: 16_384))?.header["typ"]?.string == "at+jwt"
    }
  }
}
