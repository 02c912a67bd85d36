public import AgentProtocols
public import CASACore

/// A call that wants to leave a workload, read as its receiver will read it. It leaves within a session that was
/// delivered to the workload, and with a token that the runtime granted for it.
public struct EgressCall: Sendable {
  public enum Content: Sendable {
    case toolCall(ToolCall)
    /// Another message to an MCP server.
    case mcp(MCPMethod)
    /// A stream of the MCP server's own, or the rest of an earlier one, which may hold any answer of it.
    case stream(resumed: Bool)
    /// The end of a session at an MCP server.
    case sessionEnd
    case agent(text: String?, contextID: String?)
    /// An agent's public card.
    case card
    /// The texts of the conversation, in order.
    case llm([String])
  }

  public let content: Content
  /// The session's trace as the request names it: a choice among the workload's sessions, no credential.
  public let namedTrace: TraceID?
  /// nil for the LLM.
  private let peer: (id: AppID, name: Name)?
  private let needsTraceParent: Bool

  /// - Throws: `Refusal`
  public init(
    _ request: InterceptedRequest, at point: EnforcementPoint, identity: WorkloadIdentity, record: inout RequestRecord
  ) throws(Refusal) {
    if point.side == .llm { record.destination = RequestRecord.llm }
    if case .app(let name) = point.side { record.destination = name.text }
    try request.refuseReservedHeaders()
    // Whatever the app puts there is replaced; two of them would be a question of who reads which.
    _ = try request.single("authorization")
    guard identity.kind != .mcpServer else {
      throw Refusal(.destinationNotAllowed, "an MCP server answers calls and makes none")
    }
    let header = try request.traceParent()
    needsTraceParent = header == nil
    var metaTrace: TraceID?
    switch point.side {
    case .ingress: throw Refusal(.destinationNotAllowed, "this is no way out")
    case .llm:
      content = .llm(try Self.conversation(request, path: point.path, record: &record))
      peer = nil
    case .app(let name):
      guard let peer = identity.peers[name] else {
        throw Refusal(.destinationNotAllowed, "the MAS has no app named \(name)")
      }
      self.peer = (id: peer.id, name: name)
      switch peer.kind {
      case .client: throw Refusal(.destinationNotAllowed, "\(name) is a client and takes no calls")
      case .agent:
        let call = try AgentCall(request, path: point.path, promptPath: point.promptJSONPath, record: &record)
        guard identity.kind != .client || !call.hasOtherParts else { throw .userInputIsText }
        content = call.isCard ? .card : .agent(text: call.text, contextID: call.contextID)
      case .mcpServer:
        let mcp = try MCPRequest(request, path: point.path, record: &record)
        metaTrace = mcp.message?.traceParent.flatMap { TraceParent($0)?.traceID }
        switch mcp.message?.content {
        case .toolCall(_, let tool, let arguments):
          content = .toolCall(ToolCall(server: name, tool: tool, arguments: arguments))
        case .toolListing: content = .mcp(MCPMethod.toolListing)
        case .lifecycle(_, let method): content = .mcp(method)
        case .restricted(_, let method):
          guard peer.methods.contains(method.name) else { throw .notLetThrough(method) }
          content = .mcp(method)
        case nil: content = request.method == "GET" ? .stream(resumed: mcp.resumes) : .sessionEnd
        }
      }
    }
    if let header, let metaTrace, header.traceID != metaTrace {
      throw Refusal(.traceContextMismatch, "the header `traceparent` and the one in `_meta` name different traces")
    }
    namedTrace = header?.traceID ?? metaTrace
    if namedTrace != nil { record.correlation = header == nil ? .meta : .traceparent }
    record.traceID = namedTrace
  }

  /// The app that is called; nil for the LLM.
  public var callee: AppID? { peer?.id }

  /// What a token for this call is held for; nil for a tool call, whose token is good for nothing else.
  public var purpose: TokenPurpose? {
    switch content {
    case .toolCall: nil
    case .llm: .llm
    case .mcp, .stream, .sessionEnd, .agent, .card: peer.map { TokenPurpose.call($0.id) }
    }
  }

  /// Whether the call has no effect of its own and belongs to a connection more than to a session, so that it may
  /// pass with a token of the workload's own when it names no session.
  public var isDiscovery: Bool {
    switch content {
    case .mcp(let method): method.methodClass != .restricted
    case .stream(let isResumed): !isResumed
    case .card, .sessionEnd: true
    case .toolCall, .agent, .llm: false
    }
  }

  /// What the answer holds that is read on its way back.
  private func offer(to id: JSONRPCID?, reportsResult: Bool) -> (kind: Offer.Kind, app: Name)? {
    guard let calleeName = peer?.name else { return nil }
    switch content {
    case .toolCall: return reportsResult ? id.map { (.result($0), calleeName) } : nil
    case .mcp(let method): return (method.methodClass == .toolListing ? .tools(id) : .message(id), calleeName)
    case .stream(let isResumed): return (isResumed ? .tools(nil) : .message(nil), calleeName)
    case .card: return (.card, calleeName)
    case .sessionEnd, .agent, .llm: return nil
    }
  }

  /// A client's message of a session that began with other words is no message of that session.
  public func check(beginningOf token: HeldToken) throws(Refusal) {
    guard case .agent(let text?, _) = content, let digest = token.promptDigest else { return }
    guard digest == textDigest(text) else {
      throw Refusal(.userInputMismatch, "this trace began with another user input; begin a new one for each")
    }
  }

  /// What passes with `token`.
  /// - Parameters:
  ///   - trace: the session's; nil for discovery in no session.
  ///   - apiKey: the LLM's, when the sidecar keeps it.
  ///   - reportsResult: whether the runtime wants to know what a tool answers.
  public func admission(
    with token: HeldToken, trace: TraceID?, apiKey: String?, reportsResult: Bool = false, record: inout RequestRecord
  ) -> Admission {
    record.traceID = trace
    record.userInputID = token.userInputID
    var admission = Admission()
    admission.tokenHash = token.hash
    admission.userInputID = token.userInputID
    if case .llm = content {
      admission.setHeaders = [(Admission.readAnswerHeader, "1")]
      if let apiKey { admission.setHeaders.append(("authorization", "Bearer " + apiKey)) }
      // The answer is read on its way back, so it must come as it is; who asks is no business of the LLM's host.
      admission.removeHeaders = ["accept-encoding", "traceparent", "tracestate", "baggage"]
      admission.answerToken = token.compact
      return admission
    }
    admission.setHeaders = [("authorization", "Bearer " + token.compact)]
    if needsTraceParent, let trace {
      admission.setHeaders.append(("traceparent", TraceParent.random(traceID: trace).text))
    }
    if let offer = offer(to: record.requestID, reportsResult: reportsResult) {
      admission.setHeaders.append((Admission.readAnswerHeader, "1"))
      admission.removeHeaders = ["accept-encoding"]
      admission.offer = Offer(offer.kind, of: offer.app, trace: trace)
      if case .result = offer.kind { admission.answerToken = token.compact }
    }
    return admission
  }

  // MARK: The LLM

  private static func conversation(
    _ request: InterceptedRequest, path: String, record: inout RequestRecord
  ) throws(Refusal) -> [String] {
    let base = path.hasSuffix("/") ? String(path.dropLast()) : path
    guard request.method == "POST", request.path == base + "/chat/completions", !request.hasQuery else {
      throw Refusal(.protocolNotAllowed, "only POST \(base)/chat/completions of the LLM is open")
    }
    record.method = "chat/completions"
    let body = try request.jsonBody()
    for field in request.headers where holdsToken(field.value) {
      throw Refusal(.tokenSentToLLMHost, "the header `\(field.name.prefix(40))` holds a token of CASA")
    }
    return try refusingViolations { () throws(ProtocolViolation) in try ChatCompletionRequest(parsing: body).texts }
  }

  /// Whether a field's value holds a JWT of the access-token profile (RFC 9068), whoever signed it.
  private static func holdsToken(_ value: String) -> Bool {
    guard value.utf8.contains(UInt8(ascii: ".")) else { return false }
    // By bytes: characters with any number of combining marks would take long to compare.
    return value.utf8.split(whereSeparator: { " ,;=\"".utf8.contains($0) }).contains { part in
      part.starts(with: "ey".utf8)
        && (try? CompactJWS(parsing: String(Substring(part)), maximumBytes: 16_384))?.header["typ"]?.string == "at+jwt"
    }
  }
}
