/// What a token says (RFC 9068 section 2.2 with RFC 8693's `act` and RFC 9396's `authorization_details`).
///
/// Claims alone prove nothing: code that decides takes them from a type that only a verifier makes.
public struct TokenClaims: Sendable, Hashable {
  public var issuer: String
  /// The client app that spoke for the user.
  public var subject: AppID
  /// The MAS and, where the token is meant for one app, that app; see `Audience`.
  public var audience: [String]
  /// The app the token was issued to.
  public var clientID: AppID
  public var issuedAt: Timestamp
  public var notBefore: Timestamp
  public var expiresAt: Timestamp
  public var id: TokenID
  public var scope: Scope
  /// The chain of delegation, the newest actor first (RFC 8693 section 4.1); empty in a T1 as first issued.
  public var actors: [AppID]
  /// The only app that may exchange the token, when present (RFC 8693 section 4.4).
  public var mayAct: AppID?
  public var masID: MASID
  /// nil only in the runtime's own tokens for discovery.
  public var userInputID: UserInputID?
  public var traceID: TraceID?
  /// Lowercase hexadecimal SHA-256 of the user's input, in T1.
  public var userInputSHA256: String?
  public var tools: [ToolName]
  /// The one call a T3 is good for.
  public var call: ToolCallBinding?

  public init(
    issuer: String, subject: AppID, audience: [String], clientID: AppID, issuedAt: Timestamp, notBefore: Timestamp,
    expiresAt: Timestamp, id: TokenID, scope: Scope, actors: [AppID], mayAct: AppID? = nil, masID: MASID,
    userInputID: UserInputID?, traceID: TraceID?, userInputSHA256: String?, tools: [ToolName], call: ToolCallBinding?
  ) {
    self.issuer = issuer
    self.subject = subject
    self.audience = audience
    self.clientID = clientID
    self.issuedAt = issuedAt
    self.notBefore = notBefore
    self.expiresAt = expiresAt
    self.id = id
    self.scope = scope
    self.actors = actors
    self.mayAct = mayAct
    self.masID = masID
    self.userInputID = userInputID
    self.traceID = traceID
    self.userInputSHA256 = userInputSHA256
    self.tools = tools
    self.call = call
  }

  /// The most actors a chain may hold.
  public static let maximumActors = 16
}

/// The names tokens' audiences go by.
public enum Audience {
  public static func mas(_ id: MASID) -> String { "urn:casa:mas:\(id)" }
  public static func app(_ id: AppID) -> String { appPrefix + id.rawValue }

  static let appPrefix = "urn:casa:app:"
}

extension TokenClaims {
  /// Whether the token is meant for `app` to receive.
  public func isAddressed(to app: AppID) -> Bool { audience.contains(Audience.app(app)) }

  /// The app the token is meant for, when it is meant for one.
  public var addressee: AppID? {
    audience.lazy.compactMap { entry in
      entry.hasPrefix(Audience.appPrefix) ? AppID(validating: String(entry.dropFirst(Audience.appPrefix.count))) : nil
    }.first
  }

  public var json: JSONValue {
    var members: [String: JSONValue] = [
      "iss": .string(issuer), "sub": .string(subject.rawValue), "client_id": .string(clientID.rawValue),
      "aud": audience.count == 1 ? .string(audience[0]) : .array(audience.map(JSONValue.string)),
      "iat": .number(Double(issuedAt.seconds)), "nbf": .number(Double(notBefore.seconds)),
      "exp": .number(Double(expiresAt.seconds)), "jti": .string(id.rawValue), "scope": .string(scope.rawValue),
      "mas_id": .string(masID.rawValue), "tools": .array(tools.map { .string($0.text) }),
    ]
    if let mayAct { members["may_act"] = ["sub": .string(mayAct.rawValue)] }
    if let userInputID { members["user_input_id"] = .string(userInputID.rawValue) }
    if let traceID { members["trace_id"] = .string(traceID.text) }
    if let userInputSHA256 { members["user_input_sha256"] = .string(userInputSHA256) }
    if let call { members["authorization_details"] = [call.json] }
    var chain: JSONValue?
    for actor in actors.reversed() {
      var link: [String: JSONValue] = ["sub": .string(actor.rawValue)]
      if let chain { link["act"] = chain }
      chain = .object(link)
    }
    if let chain { members["act"] = chain }
    return .object(members)
  }

  /// Reads claims back; nil when any is missing, of another type or of a form this system never writes.
  public init?(json: JSONValue) {
    guard let issuer = json["iss"]?.string, let subject = json["sub"]?.string.flatMap({ AppID(validating: $0) }),
      let clientID = json["client_id"]?.string.flatMap({ AppID(validating: $0) }),
      let issuedAt = json["iat"]?.integer, let notBefore = json["nbf"]?.integer, let expiresAt = json["exp"]?.integer,
      let id = json["jti"]?.string.flatMap({ TokenID(validating: $0) }),
      let scope = json["scope"]?.string.flatMap({ Scope(rawValue: $0) }),
      let masID = json["mas_id"]?.string.flatMap({ MASID(validating: $0) }),
      let toolNames = json["tools"]?.array
    else { return nil }
    let range: ClosedRange<Int64> = 0...253_402_300_799  // to the end of the year 9999
    guard range.contains(issuedAt), range.contains(notBefore), range.contains(expiresAt) else { return nil }
    let audience: [String]
    switch json["aud"] {
    case .string(let one): audience = [one]
    case .array(let several):
      audience = several.compactMap(\.string)
      guard audience.count == several.count else { return nil }
    default: return nil
    }
    let tools = toolNames.compactMap { $0.string.flatMap { ToolName($0) } }
    guard tools.count == toolNames.count else { return nil }
    var actors: [AppID] = []
    var link = json["act"]
    while let current = link {
      guard let actor = current["sub"]?.string.flatMap({ AppID(validating: $0) }), actors.count < Self.maximumActors
      else { return nil }
      actors.append(actor)
      link = current["act"]
    }
    var mayAct: AppID?
    if let allowed = json["may_act"] {
      guard let app = allowed["sub"]?.string.flatMap({ AppID(validating: $0) }) else { return nil }
      mayAct = app
    }
    var userInputID: UserInputID?
    if let value = json["user_input_id"] {
      guard let id = value.string.flatMap({ UserInputID(validating: $0) }) else { return nil }
      userInputID = id
    }
    var traceID: TraceID?
    if let value = json["trace_id"] {
      guard let id = value.string.flatMap({ TraceID($0) }) else { return nil }
      traceID = id
    }
    var digest: String?
    if let value = json["user_input_sha256"] {
      guard let text = value.string, isLowercaseHex(text, count: 64) else { return nil }
      digest = text
    }
    var call: ToolCallBinding?
    if let details = json["authorization_details"] {
      guard let list = details.array, list.count == 1, let binding = ToolCallBinding(json: list[0]) else { return nil }
      call = binding
    }
    guard (scope == .callTools) == (call != nil), (scope == .discoverTools) == (userInputID == nil) else { return nil }
    self.init(
      issuer: issuer, subject: subject, audience: audience, clientID: clientID, issuedAt: Timestamp(seconds: issuedAt),
      notBefore: Timestamp(seconds: notBefore), expiresAt: Timestamp(seconds: expiresAt), id: id, scope: scope,
      actors: actors, mayAct: mayAct, masID: masID, userInputID: userInputID, traceID: traceID,
      userInputSHA256: digest, tools: tools, call: call)
  }
}
