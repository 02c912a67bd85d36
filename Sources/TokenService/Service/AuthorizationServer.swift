public import CASACore
public import IntentChecks
public import Storage
import Synchronization
public import Traces

/// The OAuth authorization server (RFC 6749): issues, exchanges, introspects, spends and revokes tokens. What it
/// answers is durable before it answers.
public final class AuthorizationServer: Sendable {
  public struct Configuration: Sendable {
    /// The issuer identifier: the URL under which clients reach the runtime (RFC 8414 section 2).
    public var issuer: String
    /// How long tokens live at most; whole seconds.
    public var tokenLifetime: Duration
    public var algorithm: SigningAlgorithm

    public init(issuer: String, tokenLifetime: Duration = .seconds(300), algorithm: SigningAlgorithm = .es256) {
      self.issuer = issuer
      self.tokenLifetime = tokenLifetime
      self.algorithm = algorithm
    }

    var audiences: Set<String> { [issuer, issuer + "/oauth/token", issuer + "/oauth/token/exchange"] }
  }

  /// How the runtime names itself where it acts as a client: when it lists a server's tools.
  public static let runtimeID = AppID("casa-runtime")

  public let configuration: Configuration
  public let registry: Registry
  public let keys: SigningKeys
  public let traces: TraceLog
  let storage: any StorageDriver
  let clock: WallClock
  let sessions: SessionLedger
  let verifier: TokenVerifier
  let signer: TokenSigner
  let clients: ClientAuthentication
  /// Tells the data plane at once.
  public let revocations = RevocationFeed()
  /// The revoked tokens that have not expired.
  let revoked: Mutex<[TokenID: Timestamp]>
  let following: Mutex<Following>
  /// What the checks of intent ask.
  public let models: IntentModels
  /// The tokens with which the runtime itself lists tools.
  let ownTokens = Mutex(GenerationalCache<TokenHash, Bool>(capacity: 16_384))
  /// Who asked about which token, which is told once.
  public let introspections: IntrospectionLog
  /// The prompts last used, so that a decision needs no look into the database.
  let prompts = Mutex(GenerationalCache<UserInputID, String>(capacity: 512))

  /// Loads what is stored; `storage` must be migrated to `Schema.migrations`.
  public init(
    configuration: Configuration, storage: any StorageDriver, models: IntentModels = IntentModels(),
    clock: WallClock = .system
  ) async throws(StorageError) {
    self.configuration = configuration
    self.models = models
    self.storage = storage
    self.clock = clock
    traces = TraceLog(storage: storage)
    introspections = IntrospectionLog(traces: traces)
    // Before anything is loaded: what is changed meanwhile is looked at again.
    following = Mutex(Following(sequence: storage.isShared ? try await Self.lastSequence(in: storage) : 0))
    registry = try await Registry(storage: storage, clock: clock)
    keys = try await SigningKeys(
      storage: storage, algorithm: configuration.algorithm, tokenLifetime: configuration.tokenLifetime, clock: clock,
      recording: { Self.rotationEvent($0, at: clock.now()) })
    sessions = try await SessionLedger(storage: storage, clock: clock)
    verifier = TokenVerifier(keys: keys, issuer: configuration.issuer, clock: clock)
    signer = TokenSigner(keys: keys)
    clients = ClientAuthentication(
      registry: registry, storage: storage, audiences: configuration.audiences, clock: clock)
    revoked = Mutex(try await Self.revokedTokens(in: storage, at: clock.now()))
  }

  public func authenticate(_ credentials: ClientCredentials) async throws(OAuthError) -> AuthenticatedClient {
    guard isCurrent else { throw Self.storageFailure }
    return try await clients.authenticate(credentials)
  }

  /// Takes the credentials of a client or of a node.
  public func authenticateReporter(_ credentials: ClientCredentials) async throws(OAuthError) -> AuthenticatedReporter {
    guard isCurrent else { throw Self.storageFailure }
    return try await clients.authenticateReporter(credentials)
  }

  /// Makes a new signing key; tokens of the one before stay good until they expire.
  public func rotateSigningKey() async throws(StorageError) -> SigningKey {
    try await keys.rotate { Self.rotationEvent($0, at: clock.now()) }
  }

  private static func rotationEvent(_ key: SigningKey, at now: Timestamp) -> Statement {
    TraceLog.insertion(
      of: TraceEvent(.signingKeyRotated, at: now, masID: nil, payload: ["kid": .string(key.id.rawValue)]))
  }

  /// Forgets what is over: sessions in memory, spent, revoked and delivered tokens that expired, and what tools answered in
  /// sessions that ended an hour ago. The trace stays.
  public func prune() async throws(StorageError) {
    sessions.dropEnded()
    let now = clock.now()
    revoked.withLock { $0 = $0.filter { $0.value > now } }
    // An hour's margin: a token's row answers for the tokens exchanged from it.
    let limit = SQLValue.integer((now - .seconds(3600)).milliseconds)
    for table in ["spent_tokens", "client_assertions", "tokens"] {
      try await storage.deleteInBatches(from: table, key: "jti", where: "expires_at < $1", [limit])
    }
    try await storage.deleteInBatches(from: "deliveries", key: Delivery.key, where: "expires_at < $1", [limit])
    try await storage.commit([ToolResult.forgetting(sessionsEndedBefore: now - .seconds(3600))])
  }

  /// Deletes what the trace tells of the time before `limit`, and tells that this was done.
  public func pruneTraces(before limit: Timestamp) async throws(StorageError) {
    try await TraceRetention(storage: storage, clock: clock).prune(before: limit)
    try await traces.append([
      TraceEvent(.tracesPruned, at: clock.now(), masID: nil, payload: ["before": .string(limit.rfc3339)])
    ])
  }

  /// The stored prompt, for its own client app and for administrators.
  public func userInput(_ id: UserInputID) async throws(StorageError) -> (input: UserInput, text: String)? {
    let rows = try await storage.query(
      Statement("SELECT \(UserInput.columns), text FROM user_inputs WHERE id = $1", [.text(id.rawValue)]))
    guard let row = rows.first else { return nil }
    return (try UserInput(row: row), try row.text("text"))
  }

  // MARK: What all operations share

  /// The claims of a token that is alive: verified, not revoked, of apps that still exist.
  func live(_ token: UnverifiedToken) -> VerifiedToken? {
    guard let verified = verifier.verify(token), isLive(verified) else { return nil }
    return verified
  }

  func isLive(_ verified: VerifiedToken) -> Bool { verified.claims.expiresAt > clock.now() && isUnrevoked(verified) }

  /// Whether a token was not revoked while it lived, and its apps still exist.
  func isUnrevoked(_ verified: VerifiedToken) -> Bool {
    let claims = verified.claims
    guard !revoked.withLock({ $0[claims.id] != nil }), registry.mas(claims.masID) != nil else { return false }
    if claims.scope == .discoverTools, claims.clientID == Self.runtimeID { return true }
    return registry.app(claims.clientID)?.masID == claims.masID && registry.app(claims.subject)?.masID == claims.masID
  }

  /// Resolves an `audience`: an app's name in the MAS or its URN.
  func app(_ audience: String, in mas: MASID) throws(OAuthError) -> App {
    if let name = Name(audience), let app = registry.app(named: name, in: mas) { return app }
    let prefix = Audience.app(AppID(""))
    if audience.hasPrefix(prefix), let id = AppID(validating: String(audience.dropFirst(prefix.count))),
      let app = registry.app(id), app.masID == mas
    {
      return app
    }
    throw OAuthError(.invalidTarget, "`audience` must be an app of this MAS, by name or as \(prefix)ID")
  }

  /// When a token issued now ends, which is never after `limit`.
  func expiry(from now: Timestamp, requested: Duration?, limit: Timestamp?) throws(OAuthError) -> Timestamp {
    let longest = now + configuration.tokenLifetime
    guard let requested else { return min(longest, limit ?? longest) }
    let asked = now + requested
    if let limit, asked > limit {
      throw OAuthError(.invalidRequest, "`expires_in` reaches beyond the subject token's life")
    }
    guard asked <= longest else {
      throw OAuthError(
        .invalidRequest, "`expires_in` is at most \(configuration.tokenLifetime.components.seconds) seconds")
    }
    return asked
  }

  /// Stores a token unless its parent was revoked meanwhile, or its session was forgotten.
  func insertion(of token: IssuedToken, parent: TokenID?) -> Statement {
    let claims = token.claims
    var arguments: [SQLValue] = [
      .text(claims.id.rawValue), .text(token.hash.text), .optional(parent?.rawValue), .text(claims.masID.rawValue),
      .optional(claims.userInputID?.rawValue), .text(claims.clientID.rawValue), .text(claims.scope.rawValue),
      .integer(claims.issuedAt.milliseconds), .integer(claims.expiresAt.milliseconds),
      .optional(claims.addressee?.rawValue),
    ]
    let columns =
      "jti, sha256, parent_jti, mas_id, user_input_id, client_id, scope, issued_at, expires_at, addressee_id"
    guard let parent else {
      let values = "INSERT INTO tokens (\(columns)) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10"
      guard let session = claims.userInputID else { return Statement(values, arguments, expectedChanges: 1) }
      return Statement(
        values + " WHERE EXISTS (SELECT 1 FROM user_inputs WHERE id = $11)", arguments + [.text(session.rawValue)],
        expectedChanges: 1)
    }
    arguments.append(.text(parent.rawValue))
    return Statement(
      """
      INSERT INTO tokens (\(columns)) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
      WHERE EXISTS (SELECT 1 FROM tokens WHERE jti = $11 AND revoked_at IS NULL)
      """, arguments, expectedChanges: 1)
  }

  static let storageFailure = OAuthError(
    .temporarilyUnavailable, "the decision can't be recorded now, so nothing was granted; try again",
    reason: .runtimeUnavailable)

  /// What the trace says of a token.
  func description(of token: IssuedToken, parent: VerifiedToken?) -> [String: JSONValue] {
    let claims = token.claims
    return [
      "token_sha256": .string(token.hash.text), "scope": .string(claims.scope.rawValue),
      "subject_token_sha256": parent.map { .string($0.hash.text) } ?? .null,
      "audience": .array(claims.audience.map(JSONValue.string)),
      "actors": .array(claims.actors.map { .string($0.rawValue) }),
      "expires_at": .string(claims.expiresAt.rfc3339),
    ]
  }
}

extension AuthorizationServer {
  /// The time that decides.
  public var now: Timestamp { clock.now() }
  /// How many sessions have a live token now.
  public var liveSessions: Int { sessions.count }
}
