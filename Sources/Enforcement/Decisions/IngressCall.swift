public import AgentProtocols
public import CASACore

/// A call that wants to enter a workload, read as the app will read it and compared with what its token says of
/// itself. It passes when the runtime calls the token active, or, for a tool call, uses it up.
public struct IngressCall: Sendable {
  public enum Content: Sendable {
    case toolCall(ToolName, argumentsSHA256: String)
    /// Another message to an MCP server.
    case message(MCPMethod)
    /// The stream of a session (GET) or its end (DELETE).
    case stream
    case agent
    /// The agent's public card.
    case card
  }

  public let token: ClaimedToken
  public let content: Content
  /// The caller's session at the MCP server, as it names it.
  public let mcpSession: MCPSessionID?
  /// The user's words, to an agent.
  public let text: String?
  /// The A2A context the message names.
  public let contextID: String?

  private let identity: WorkloadIdentity
  private let traceParent: TraceParent?
  private let namedTraces: [TraceID]
  private let resumes: Bool

  /// - Throws: `Refusal`; whoever asks the runtime first asks for nothing that could be known here.
  public init(
    _ request: InterceptedRequest, at point: EnforcementPoint, identity: WorkloadIdentity, tokens: ClaimedTokens,
    record: inout RequestRecord
  ) throws(Refusal) {
    record.destination = identity.name.text
    try request.refuseReservedHeaders()
    // What is no place of the app's protocol is refused before anybody's token is looked at.
    let speaksA2A = identity.kind == .agent && identity.promptJSONPath == nil
    guard request.path == point.path || speaksA2A && A2ARequest.isBelow(point.path, request.path) else {
      throw .onlyOpen(point.path)
    }
    let token = try tokens.bearer(of: request)
    record.tokenHash = token.hash
    record.traceID = token.claims.traceID
    self.token = token
    self.identity = identity
    traceParent = try request.traceParent()
    var metaTrace: TraceID?
    switch identity.kind {
    case .client: throw Refusal(.destinationNotAllowed, "a client takes no calls")
    case .mcpServer:
      let mcp = try MCPRequest(request, path: point.path, record: &record)
      metaTrace = mcp.message?.traceParent.flatMap { TraceParent($0)?.traceID }
      mcpSession = mcp.session
      resumes = mcp.resumes
      (text, contextID) = (nil, nil)
      switch mcp.message?.content {
      case .toolCall(_, let tool, let arguments):
        content = .toolCall(tool, argumentsSHA256: AgentProtocols.argumentsSHA256(arguments))
      case .toolListing: content = .message(.toolListing)
      case .lifecycle(_, let method): content = .message(method)
      case .restricted(_, let method):
        guard identity.methods.contains(method.name) else { throw .notLetThrough(method) }
        content = .message(method)
      case nil: content = .stream
      }
    case .agent:
      let call = try AgentCall(request, path: point.path, promptPath: identity.promptJSONPath, record: &record)
      // Straight from a client, which another sidecar may not have read.
      guard !call.hasOtherParts || !token.claims.actors.isEmpty else { throw .userInputIsText }
      (mcpSession, resumes, text, contextID) = (nil, false, call.text, call.contextID)
      content = call.isCard ? .card : .agent
    }
    namedTraces = [traceParent?.traceID, metaTrace].compactMap(\.self)
    try check(token.claims)
  }

  /// Whether the call uses its token up: a token for one tool call is good for nothing else.
  public var usesUpToken: Bool { token.claims.scope == .callTools }

  /// Who calls: the app that the token was issued to.
  public var caller: AppID { token.claims.clientID }

  private func check(_ claims: TokenClaims) throws(Refusal) {
    guard claims.audience.contains(identity.audience), claims.masID == identity.masID else {
      throw Refusal(.tokenNotForThisApp, "the token is not addressed to \(identity.name)")
    }
    switch content {
    case .toolCall(let tool, let digest):
      guard claims.scope == .callTools, let call = claims.call else {
        throw Refusal(.insufficientScope, "tools/call needs a token of scope call-tools")
      }
      let binding = ToolCallBinding(server: identity.name, tool: tool, argumentsSHA256: digest)
      guard call == binding, claims.tools == [tool] else {
        throw Refusal(.tokenNotForThisCall, "the token is for another tool, server or other arguments")
      }
    case .message(let method):
      let isForDiscovery = claims.scope == .discoverTools && method.methodClass != .restricted
      guard claims.scope == .userInput || isForDiscovery else {
        throw Refusal(.insufficientScope, "\(method.name) needs a token of scope user-input")
      }
    case .stream:
      guard claims.scope == .userInput || claims.scope == .discoverTools else {
        throw Refusal(.insufficientScope, "a stream of the session needs a token of scope user-input")
      }
    case .card:
      guard claims.scope == .userInput || claims.scope == .discoverTools else {
        throw Refusal(.insufficientScope, "an agent's card needs a token of scope user-input or discover-tools")
      }
    case .agent:
      guard claims.scope == .userInput else {
        throw Refusal(.insufficientScope, "a call of an agent needs a token of scope user-input")
      }
      // Straight from the client the message is the user's input itself; further on it is an agent's words.
      if claims.actors.isEmpty, let text, let digest = claims.userInputSHA256, digest != textDigest(text) {
        throw Refusal(.userInputMismatch, "the message is not the user input that the token was issued for")
      }
    }
    guard let trace = claims.traceID else { throw Refusal(.tokenMalformed, "the token names no trace") }
    // A token for discovery belongs to no session, so to no trace of one.
    guard claims.scope == .discoverTools || namedTraces.allSatisfy({ $0 == trace }) else {
      throw Refusal(.traceContextMismatch, "the request names another trace than its token")
    }
  }

  /// A session at an MCP server belongs to the app that began it, whoever learns its id.
  /// - Parameter owner: the app that used the id first; nil when nobody has yet.
  public func check(sessionOwner owner: AppID?) throws(Refusal) {
    guard let owner else {
      guard !resumes else {
        throw Refusal(.sessionUnknown, "a stream can be resumed only in a session that began here")
      }
      return
    }
    guard owner == caller else { throw Refusal(.sessionUnknown, "this MCP session is another app's") }
  }

  /// What passes, given that the runtime called the token active or used it up.
  public func admission(record: inout RequestRecord) throws(Refusal) -> Admission {
    guard let trace = token.claims.traceID else { throw Refusal(.tokenMalformed, "the token names no trace") }
    record.userInputID = token.claims.userInputID
    var admission = Admission()
    admission.tokenHash = token.hash
    admission.userInputID = token.claims.userInputID
    // The app gets its trace and never a token.
    if traceParent == nil { admission.setHeaders.append(("traceparent", TraceParent.random(traceID: trace).text)) }
    admission.removeHeaders = ["authorization"]
    return admission
  }
}
