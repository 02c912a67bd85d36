public import AgentProtocols
public import CASACore

/// A request at the token endpoint, parsed and not yet authorized.
public enum TokenRequest: Sendable {
  case issue(IssueRequest)
  case exchange(ExchangeRequest)
  case discover(DiscoverRequest)
  case resume(TraceID)

  /// Our own extension grant (RFC 6749 section 4.5): the token of a session that was delivered to the client before.
  public static let deliveredSessionGrant = "urn:casa:params:oauth:grant-type:delivered-session"
  public static let tokenExchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

  /// Reads the form of RFC 6749 section 4.4.2 or RFC 8693 section 2.1.
  public init(form: FormBody) throws(OAuthError) {
    switch form["grant_type"] {
    case "client_credentials" where form["scope"] == Scope.discoverTools.rawValue:
      self = .discover(try DiscoverRequest(form: form))
    case Self.deliveredSessionGrant:
      guard let trace = form["trace_id"].flatMap({ TraceID($0) }) else {
        throw OAuthError(.invalidRequest, "`trace_id` must be 32 lowercase hexadecimal digits, not all zero")
      }
      self = .resume(trace)
    case "client_credentials": self = .issue(try IssueRequest(form: form))
    case Self.tokenExchangeGrant: self = .exchange(try ExchangeRequest(form: form))
    case nil: throw OAuthError(.invalidRequest, "`grant_type` is missing")
    default:
      throw OAuthError(
        .unsupportedGrantType,
        "`grant_type` must be client_credentials, \(Self.tokenExchangeGrant) or \(Self.deliveredSessionGrant)")
    }
  }
}

/// What both grants may narrow.
public struct Narrowing: Sendable {
  public let scope: Scope?
  /// An app of the MAS by its name or by `urn:casa:app:ID`.
  public let audience: String?
  public let tools: [ToolName]?
  /// How long the token shall live.
  public let lifetime: Duration?

  init(form: FormBody) throws(OAuthError) {
    if let text = form["scope"] {
      guard let scope = Scope(rawValue: text), scope != .discoverTools else {
        throw OAuthError(.invalidScope, "`scope` must be exactly one of user-input, llm-access and call-tools")
      }
      self.scope = scope
    } else {
      scope = nil
    }
    // RFC 8707 names the same thing by URI.
    switch (form["audience"], form["resource"]) {
    case (let audience?, let resource?):
      guard audience == resource else {
        throw OAuthError(.invalidTarget, "`audience` and `resource` must name the same app when both are sent")
      }
      self.audience = audience
    case (let audience, let resource): self.audience = audience ?? resource
    }
    if let text = form["tools"] {
      let parts = text.split(separator: " ", omittingEmptySubsequences: false)
      let names = parts.compactMap { ToolName(String($0)) }
      guard names.count == parts.count, names.count <= 1000, Set(names).count == names.count else {
        throw OAuthError(.invalidRequest, "`tools` must be tool names, each once, separated by one space")
      }
      tools = names
    } else {
      tools = nil
    }
    if let text = form["expires_in"] {
      guard let seconds = Int(text), text.utf8.count <= 6, seconds > 0 else {
        throw OAuthError(.invalidRequest, "`expires_in` must be a positive whole number of seconds")
      }
      lifetime = .seconds(seconds)
    } else {
      lifetime = nil
    }
  }
}

/// `client_credentials` without a user's input: asks for a token with which a callee's offers can be listed.
public struct DiscoverRequest: Sendable {
  /// An app of the MAS by its name or by `urn:casa:app:ID`.
  public let audience: String

  init(form: FormBody) throws(OAuthError) {
    guard form["user_input"] == nil, form["user_input_id"] == nil else {
      throw OAuthError(.invalidScope, "discover-tools belongs to no user's input")
    }
    guard let audience = form["audience"] else {
      throw OAuthError(.invalidTarget, "name the app you are about to call in `audience`")
    }
    self.audience = audience
  }
}

/// `client_credentials` with a user's input: asks for a T1.
public struct IssueRequest: Sendable {
  public enum Input: Sendable {
    case text(String)
    case stored(UserInputID)
  }

  public let input: Input
  /// nil lets the runtime choose one.
  public let traceID: TraceID?
  public let narrowing: Narrowing

  /// The most bytes of UTF-8 a user's input may have.
  public static let maximumInputBytes = 65_536

  init(form: FormBody) throws(OAuthError) {
    switch (form["user_input"], form["user_input_id"]) {
    case (let text?, nil):
      guard text.utf8.count <= Self.maximumInputBytes else {
        throw OAuthError(
          .invalidRequest, "`user_input` has \(text.utf8.count) bytes; at most \(Self.maximumInputBytes) are accepted")
      }
      // No database stores it everywhere.
      guard !text.utf8.contains(0) else {
        throw OAuthError(.invalidRequest, "`user_input` holds the character U+0000, which can't be stored")
      }
      input = .text(text)
    case (nil, let id?):
      guard let id = UserInputID(validating: id) else {
        throw OAuthError(.invalidRequest, "`user_input_id` is not an identifier")
      }
      input = .stored(id)
    default:
      throw OAuthError(.invalidRequest, "send either `user_input` or `user_input_id`, and not empty")
    }
    switch (form["traceparent"], form["trace_id"]) {
    case (nil, nil): traceID = nil
    case (let text?, nil):
      guard let parent = TraceParent(text) else {
        throw OAuthError(.invalidRequest, "`traceparent` is not one of W3C Trace Context, version 00")
      }
      traceID = parent.traceID
    case (nil, let text?):
      guard let id = TraceID(text) else {
        throw OAuthError(.invalidRequest, "`trace_id` must be 32 lowercase hexadecimal digits, not all zero")
      }
      traceID = id
    default: throw OAuthError(.invalidRequest, "send either `traceparent` or `trace_id`")
    }
    narrowing = try Narrowing(form: form)
  }
}

/// RFC 8693 token exchange.
public struct ExchangeRequest: Sendable {
  public let subject: UnverifiedToken
  public let actor: UnverifiedToken?
  public let narrowing: Narrowing
  /// The one call a T3 is asked for.
  public let call: ToolCall?

  public static let accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
  private static let tokenTypes: Set<String> = [accessTokenType, "urn:ietf:params:oauth:token-type:jwt"]

  init(form: FormBody) throws(OAuthError) {
    guard let subject = form["subject_token"], let type = form["subject_token_type"] else {
      throw OAuthError(.invalidRequest, "`subject_token` and `subject_token_type` are needed")
    }
    guard Self.tokenTypes.contains(type) else {
      throw OAuthError(.invalidRequest, "`subject_token_type` must be \(Self.accessTokenType)")
    }
    self.subject = UnverifiedToken(subject)
    switch (form["actor_token"], form["actor_token_type"]) {
    case (nil, nil): actor = nil
    case (let token?, let type?) where Self.tokenTypes.contains(type): actor = UnverifiedToken(token)
    default:
      throw OAuthError(
        .invalidRequest, "`actor_token` and `actor_token_type` (\(Self.accessTokenType)) come together or not at all")
    }
    if let requested = form["requested_token_type"], !Self.tokenTypes.contains(requested) {
      throw OAuthError(.invalidRequest, "`requested_token_type` must be \(Self.accessTokenType)")
    }
    narrowing = try Narrowing(form: form)
    call = try form["authorization_details"].map { (text) throws(OAuthError) in try Self.call(parsing: text) }
  }

  /// RFC 9396 section 2, with exactly one object.
  private static func call(parsing text: String) throws(OAuthError) -> ToolCall {
    func invalid(_ why: String) -> OAuthError {
      OAuthError(.invalidAuthorizationDetails, "`authorization_details` \(why)")
    }
    let json: JSONValue
    do {
      json = try JSONValue(parsing: text, limits: .message)
    } catch {
      throw invalid("is not strict JSON: \(error)")
    }
    guard let list = json.array, list.count == 1, let object = list[0].object else {
      throw invalid("must be an array of exactly one object: one token is for one call")
    }
    guard object["type"]?.string == ToolCallBinding.type else {
      throw invalid("must be of type \(ToolCallBinding.type)")
    }
    let known: Set<String> = ["type", "server", "tool", "arguments", "arguments_sha256"]
    guard object.keys.allSatisfy(known.contains) else {
      throw invalid("may only have \(known.sorted().joined(separator: ", "))")
    }
    guard let server = object["server"]?.string.flatMap({ Name($0) }) else {
      throw invalid("must name the MCP server's app in `server`")
    }
    guard let tool = object["tool"]?.string.flatMap({ ToolName($0) }) else {
      throw invalid("must name the tool in `tool`: 1 to 128 of A-Z a-z 0-9 _ - . /")
    }
    guard let arguments = object["arguments"]?.object else {
      throw invalid("must have the call's `arguments`, an object")
    }
    let call = ToolCall(server: server, tool: tool, arguments: arguments)
    if let digest = object["arguments_sha256"], digest.string != call.argumentsSHA256 {
      throw invalid("has an `arguments_sha256` that is not the SHA-256 of the RFC 8785 form of `arguments`")
    }
    return call
  }
}
