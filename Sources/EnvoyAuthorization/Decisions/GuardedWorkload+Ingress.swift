import AgentProtocols
import CASACore
import Crypto
import Sidecar

/// What enters a workload: only a call that its token is for.
extension GuardedWorkload {
  func admit(
    _ request: InterceptedRequest, at ingress: Workload.Ingress, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    try request.refuseReservedHeaders()
    guard request.path == ingress.app.path, !request.hasQuery else {
      throw Refusal(.protocolNotAllowed, "only \(ingress.app.path) is open, without a query")
    }
    let identity = try await identities.identity()
    record.destination = identity.name.text
    let token = try bearer(of: request)
    record.tokenHash = token.hash
    record.traceID = token.claims.traceID
    let admission: Admission
    switch identity.kind {
    case .mcpServer: admission = try await admitMCP(request, identity: identity, token: token, record: &record)
    case .agent: admission = try await admitA2A(request, identity: identity, token: token, record: &record)
    case .client: throw Refusal(.destinationNotAllowed, "a client takes no calls")
    }
    return admission
  }

  /// A token as it came, with what it says of itself: enough to refuse by, never to admit by.
  private struct ClaimedToken {
    let compact: String
    let hash: TokenHash
    let claims: TokenClaims
  }

  private func bearer(of request: InterceptedRequest) throws(Refusal) -> ClaimedToken {
    guard let value = try request.single("authorization") else {
      throw Refusal(.tokenMissing, "a call needs `Authorization: Bearer` with a token of the runtime")
    }
    guard let bearer = BearerCredentials(headerValue: value), let jws = try? CompactJWS(parsing: bearer.token),
      let claims = TokenClaims(json: jws.payload)
    else { throw Refusal(.tokenMalformed, "`Authorization` does not hold one token of the runtime") }
    return ClaimedToken(compact: bearer.token, hash: tokenHash(bearer.token), claims: claims)
  }

  // MARK: MCP

  private func admitMCP(
    _ request: InterceptedRequest, identity: WorkloadIdentity, token: ClaimedToken, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    var message: MCPMessage?
    switch request.method {
    case "POST":
      message = try parseMCP(request)
      record.method = message?.method
      record.requestID = message?.id
    case "GET", "DELETE":
      guard request.body.isEmpty else { throw Refusal(.malformedRequest, "\(request.method) has no body in MCP") }
      record.method = request.method
    default: throw Refusal(.protocolNotAllowed, "MCP uses POST, GET and DELETE")
    }
    // First against what the token says of itself: a call that it is not for never uses it up.
    try check(token.claims, allows: message, at: identity, record: &record)
    let claims: TokenClaims
    if token.claims.scope == .callTools {
      claims = try await runtime.spend(token.compact)
    } else {
      claims = try await active(token)
    }
    // And then against what the runtime says of it.
    try check(claims, allows: message, at: identity, record: &record)
    record.userInputID = claims.userInputID
    return try admission(request, claims: claims, bodyTrace: message?.traceParent, token: token)
  }

  private func check(
    _ claims: TokenClaims, allows message: MCPMessage?, at identity: WorkloadIdentity, record: inout RequestRecord
  ) throws(Refusal) {
    guard claims.isAddressed(to: identity.id), claims.masID == identity.masID else {
      throw Refusal(.tokenNotForThisApp, "the token is not addressed to \(identity.name)")
    }
    switch message?.content {
    case .toolCall(_, let tool, let arguments):
      record.tool = tool
      guard claims.scope == .callTools, let call = claims.call else {
        throw Refusal(.insufficientScope, "tools/call needs a token of scope call-tools")
      }
      let binding = ToolCallBinding(
        server: identity.name, tool: tool, argumentsSHA256: argumentsSHA256(arguments))
      guard call == binding, claims.tools == [tool] else {
        throw Refusal(.tokenNotForThisCall, "the token is for another tool, server or other arguments")
      }
    case .toolListing, .lifecycle:
      guard claims.scope == .userInput || claims.scope == .discoverTools else {
        throw Refusal(.insufficientScope, "\(message?.method ?? "this") needs a token of scope user-input")
      }
    case .restricted(_, let method):
      throw Refusal(.methodNotAllowed, "\(method.name) is not let through")
    case nil:
      guard claims.scope == .userInput else {
        throw Refusal(.insufficientScope, "a stream of the session needs a token of scope user-input")
      }
    }
  }

  func parseMCP(_ request: InterceptedRequest) throws(Refusal) -> MCPMessage {
    let body = try request.jsonBody()
    do {
      return try MCPMessage(
        parsing: body, methodHeader: try request.single("mcp-method"), nameHeader: try request.single("mcp-name"),
        revisionHeader: try request.single("mcp-protocol-version"))
    } catch let violation as ProtocolViolation {
      throw Refusal(violation)
    } catch let refusal as Refusal {
      throw refusal
    } catch {
      throw Refusal(.malformedRequest, "the message can't be read")
    }
  }

  // MARK: A2A

  private func admitA2A(
    _ request: InterceptedRequest, identity: WorkloadIdentity, token: ClaimedToken, record: inout RequestRecord
  ) async throws(Refusal) -> Admission {
    guard request.method == "POST" else { throw Refusal(.protocolNotAllowed, "A2A uses POST") }
    let (text, id, method) = try userText(of: request, path: identity.promptJSONPath)
    record.method = method
    record.requestID = id
    func check(_ claims: TokenClaims) throws(Refusal) {
      guard claims.isAddressed(to: identity.id), claims.masID == identity.masID else {
        throw Refusal(.tokenNotForThisApp, "the token is not addressed to \(identity.name)")
      }
      guard claims.scope == .userInput else {
        throw Refusal(.insufficientScope, "a call of an agent needs a token of scope user-input")
      }
      // Straight from the client the message is the user's input itself; further on it is an agent's words.
      if claims.actors.isEmpty, let text, let digest = claims.userInputSHA256, digest != textDigest(text) {
        throw Refusal(.userInputMismatch, "the message is not the user input that the token was issued for")
      }
    }
    try check(token.claims)
    let claims = try await active(token)
    try check(claims)
    guard let trace = claims.traceID else { throw Refusal(.tokenMalformed, "the token names no trace") }
    record.userInputID = claims.userInputID
    let admission = try admission(request, claims: claims, bodyTrace: nil, token: token)
    tokens.hold(
      SessionTokens.Held(
        compact: token.compact, hash: token.hash, expiresAt: claims.expiresAt, userInputID: claims.userInputID,
        parent: nil), for: .session, in: trace)
    return admission
  }

  /// The user's words in a request to an agent, by A2A or by the path that was configured.
  func userText(
    of request: InterceptedRequest, path: JSONPath?
  ) throws(Refusal) -> (text: String?, id: JSONRPCID?, method: String) {
    let body = try request.jsonBody()
    if let path {
      let json: JSONValue
      do {
        json = try JSONValue(parsing: body)
      } catch {
        throw Refusal(
          error.problem == .tooLarge ? .bodyTooLarge : .malformedRequest, "the body is not strict JSON: \(error)")
      }
      guard let text = path.value(in: json)?.string else {
        throw Refusal(.userInputMissing, "the body has no text where the user's input is expected")
      }
      return (text, nil, request.method)
    }
    do {
      let message = try A2AMessage(parsing: body)
      return (message.text, message.id, message.method)
    } catch {
      throw Refusal(error)
    }
  }

  // MARK: What both share

  /// The claims of a token that the runtime calls active.
  private func active(_ token: ClaimedToken) async throws(Refusal) -> TokenClaims {
    try await activeClaims(of: token.compact, token.hash)
  }

  /// The same, of a token that came some time ago; the runtime is asked as often as `IntrospectionCache` says.
  func activeClaims(of compact: String, _ hash: TokenHash) async throws(Refusal) -> TokenClaims {
    let claims: TokenClaims?
    if let known = introspections[hash] {
      claims = known
    } else {
      claims = try await runtime.introspect(compact)
      introspections.keep(claims, for: hash)
    }
    guard let claims else { throw Refusal(.tokenInactive, "the token is not active") }
    return claims
  }

  private func admission(
    _ request: InterceptedRequest, claims: TokenClaims, bodyTrace: String?, token: ClaimedToken
  ) throws(Refusal) -> Admission {
    guard let trace = claims.traceID else { throw Refusal(.tokenMalformed, "the token names no trace") }
    let header = try request.traceParent()
    for named in [header, bodyTrace.flatMap { TraceParent($0) }] {
      guard named == nil || named?.traceID == trace else {
        throw Refusal(.traceContextMismatch, "`traceparent` names another trace than the token")
      }
    }
    var admission = Admission()
    admission.tokenHash = token.hash
    admission.userInputID = claims.userInputID
    // The app gets its trace and never a token.
    if header == nil { admission.setHeaders.append(("traceparent", TraceParent.random(traceID: trace).text)) }
    admission.removeHeaders = ["authorization"]
    return admission
  }
}

/// Lowercase hexadecimal SHA-256 of a text's UTF-8.
func textDigest(_ text: String) -> String { lowercaseHex(SHA256.hash(data: Array(text.utf8))) }
