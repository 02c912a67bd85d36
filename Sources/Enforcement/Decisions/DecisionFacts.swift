public import CASACore

/// What the authorization service knew when it admitted a request, so that a filter can admit the next one of the
/// kind by itself.
public struct DecisionFacts: Sendable {
  /// A token that the runtime called active.
  public struct ActiveToken: Sendable {
    public let hash: TokenHash
    public let session: UserInputID?
    public let lifetime: Duration

    public init(hash: TokenHash, session: UserInputID?, lifetime: Duration) {
      self.hash = hash
      self.session = session
      self.lifetime = lifetime
    }
  }

  /// The token for a purpose in a session, while the session's own token is known to be active.
  public struct SessionToken: Sendable {
    public let trace: TraceID
    public let purpose: TokenPurpose
    public let token: HeldToken
    public let apiKey: String?
    public let lifetime: Duration

    public init(trace: TraceID, purpose: TokenPurpose, token: HeldToken, apiKey: String?, lifetime: Duration) {
      self.trace = trace
      self.purpose = purpose
      self.token = token
      self.apiKey = apiKey
      self.lifetime = lifetime
    }
  }

  /// Who began a session at the MCP server.
  public struct SessionOwner: Sendable {
    public let session: MCPSessionID
    public let app: AppID

    public init(session: MCPSessionID, app: AppID) {
      self.session = session
      self.app = app
    }
  }

  public var identity: WorkloadIdentity?
  public var activeToken: ActiveToken?
  public var sessionToken: SessionToken?
  public var sessionOwner: SessionOwner?

  public init() {}
}

extension DecisionFacts {
  /// It may hold tokens and an API key: it goes to the workload's own proxy and nowhere else.
  public var json: JSONValue {
    var members: [String: JSONValue] = [:]
    members["identity"] = identity?.json
    if let token = activeToken {
      members["active"] = [
        "sha256": .string(token.hash.text), "user_input_id": token.session.map { .string($0.rawValue) } ?? .null,
        "ms": .number(Double(token.lifetime.wholeMilliseconds)),
      ]
    }
    if let fact = sessionToken {
      members["token"] = [
        "trace_id": .string(fact.trace.text), "purpose": .string(fact.purpose.text),
        "token": .string(fact.token.compact), "sha256": .string(fact.token.hash.text),
        "user_input_id": fact.token.userInputID.map { .string($0.rawValue) } ?? .null,
        "prompt_sha256": fact.token.promptDigest.map(JSONValue.string) ?? .null,
        "api_key": fact.apiKey.map(JSONValue.string) ?? .null,
        "ms": .number(Double(fact.lifetime.wholeMilliseconds)),
      ]
    }
    if let owner = sessionOwner {
      members["mcp_session"] = [
        "sha256": .string(owner.session.digest), "app": .string(owner.app.rawValue),
      ]
    }
    return .object(members)
  }

  /// Reads facts; whatever is not as it is written above is left out, so that it will be asked for again.
  /// - Parameter now: what the lifetimes count from.
  public init(json: JSONValue, now: Timestamp) {
    identity = json["identity"].flatMap { WorkloadIdentity($0) }
    if let active = json["active"], let hash = active["sha256"]?.string.flatMap({ TokenHash($0) }),
      let lifetime = Self.lifetime(active)
    {
      activeToken = ActiveToken(hash: hash, session: Self.session(active), lifetime: lifetime)
    }
    if let fact = json["token"], let trace = fact["trace_id"]?.string.flatMap({ TraceID($0) }),
      let purpose = fact["purpose"]?.string.flatMap({ TokenPurpose($0) }), let compact = fact["token"]?.string,
      let hash = fact["sha256"]?.string.flatMap({ TokenHash($0) }), let lifetime = Self.lifetime(fact)
    {
      sessionToken = SessionToken(
        trace: trace, purpose: purpose,
        token: HeldToken(
          compact: compact, hash: hash, expiresAt: now + lifetime, userInputID: Self.session(fact), parent: nil,
          promptDigest: fact["prompt_sha256"]?.string),
        apiKey: fact["api_key"]?.string, lifetime: lifetime)
    }
    if let owner = json["mcp_session"], let session = owner["sha256"]?.string.flatMap({ MCPSessionID(digest: $0) }),
      let app = owner["app"]?.string.flatMap({ AppID(validating: $0) })
    {
      sessionOwner = SessionOwner(session: session, app: app)
    }
  }

  private static func lifetime(_ json: JSONValue) -> Duration? {
    guard let milliseconds = json["ms"]?.integer, (1...60_000).contains(milliseconds) else { return nil }
    return .milliseconds(milliseconds)
  }

  private static func session(_ json: JSONValue) -> UserInputID? {
    json["user_input_id"]?.string.flatMap { UserInputID(validating: $0) }
  }
}
