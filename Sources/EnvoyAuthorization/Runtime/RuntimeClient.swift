import AgentProtocols
import AsyncHTTPClient
import CASACore
import Enforcement
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix

/// One workload's way to the runtime, authenticated as that workload.
struct RuntimeClient: Sendable {
  /// A token as the runtime handed it out; nothing but its text is trusted to be anything.
  struct GrantedToken: Sendable {
    let compact: String
    let hash: TokenHash
    let expiresAt: Timestamp
    let decisionID: String?
    /// Whether the runtime wants to know what the call that the token is for answers.
    let reportsResult: Bool
  }

  static let timeout = TimeAmount.seconds(3)
  /// For how long a runtime that takes no connection is waited for: one that is started anew takes some again soon.
  static let connectingTimeout = TimeAmount.seconds(1)
  private static let maximumAnswerBytes = 1 << 20

  let http: HTTPClient
  /// Without a slash at its end.
  let baseURL: String
  let authorization: String
  let clock: WallClock
  let logger: Logger
  let contact = RuntimeContact()

  /// Asks for a T1 for what a user said.
  func issue(userInput: String, traceID: TraceID, audience: AppID) async throws(Refusal) -> GrantedToken {
    try await token([
      ("grant_type", "client_credentials"), ("user_input", userInput), ("trace_id", traceID.text),
      ("audience", Audience.app(audience)),
    ])
  }

  /// Exchanges a T1 (RFC 8693).
  func exchange(
    _ subject: String, scope: Scope, audience: AppID? = nil, call: ToolCall? = nil
  ) async throws(Refusal) -> GrantedToken {
    var form = [
      ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", subject),
      ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"), ("scope", scope.rawValue),
    ]
    if let audience { form.append(("audience", Audience.app(audience))) }
    if let call {
      let details: JSONValue = [
        [
          "type": .string(ToolCallBinding.type), "server": .string(call.server.text), "tool": .string(call.tool.text),
          "arguments": .object(call.arguments),
        ]
      ]
      form.append(("authorization_details", details.canonicalText))
    }
    return try await token(form)
  }

  /// Asks for a token with which this workload opens a connection to a callee and lists what it offers, in no session.
  func discover(audience: AppID) async throws(Refusal) -> GrantedToken {
    try await token([
      ("grant_type", "client_credentials"), ("scope", Scope.discoverTools.rawValue),
      ("audience", Audience.app(audience)),
    ])
  }

  /// Asks for the token of a session that was delivered to this workload before.
  func resume(_ trace: TraceID) async throws(Refusal) -> GrantedToken {
    try await token([("grant_type", "urn:casa:params:oauth:grant-type:delivered-session"), ("trace_id", trace.text)])
  }

  private func token(_ form: [(String, String)]) async throws(Refusal) -> GrantedToken {
    let json = try await post("/oauth/token", form)
    guard let compact = json["access_token"]?.string, let lifetime = json["expires_in"]?.integer, lifetime > 0,
      let reportsResult = (json["casa_report_result"] ?? false).bool
    else { throw Self.unreadable }
    return GrantedToken(
      compact: compact, hash: tokenHash(compact), expiresAt: clock.now() + .seconds(lifetime),
      decisionID: json["decision_id"]?.string, reportsResult: reportsResult)
  }

  /// The claims of an active token, nil for any other (RFC 7662).
  func introspect(_ token: String) async throws(Refusal) -> TokenClaims? {
    let json = try await post("/oauth/introspect", [("token", token)])
    switch json["active"]?.bool {
    case true?:
      guard let claims = TokenClaims(json: json) else { throw Self.unreadable }
      return claims
    case false?: return nil
    case nil: throw Self.unreadable
    }
  }

  /// Uses a T3 up.
  func spend(_ token: String) async throws(Refusal) -> TokenClaims {
    let json = try await post("/oauth/spend", [("token", token)])
    guard json["active"]?.bool == true, let claims = TokenClaims(json: json) else { throw Self.unreadable }
    return claims
  }

  /// Who this workload is and who else is in its MAS.
  func selfDescription() async throws(Refusal) -> JSONValue {
    var request = HTTPClientRequest(url: baseURL + "/apps/self")
    request.headers.add(name: "authorization", value: authorization)
    return try await answer(to: request)
  }

  /// In which sessions something was revoked since `cursor`; the answer may be a while in coming.
  func revocations(after cursor: String?) async throws(Refusal) -> Revocations {
    var request = HTTPClientRequest(url: baseURL + "/oauth/revocations" + (cursor.map { "?after=" + $0 } ?? ""))
    request.headers.add(name: "authorization", value: authorization)
    let json = try await answer(to: request, timeout: .seconds(30))
    guard let cursor = json["cursor"]?.string, cursor.utf8.allSatisfy({ $0 != UInt8(ascii: "&") && $0 > 0x20 }),
      let isPartial = json["is_partial"]?.bool, let list = json["user_input_ids"]?.array
    else { throw Self.unreadable }
    let sessions = list.compactMap { $0.string.flatMap { UserInputID(validating: $0) } }
    return Revocations(
      cursor: cursor, sessions: Set(sessions), isPartial: isPartial || sessions.count < list.count)
  }

  struct Revocations: Sendable {
    let cursor: String
    let sessions: Set<UserInputID>
    /// Whether more may have been revoked than `sessions` says.
    let isPartial: Bool
  }

  /// Reports what was seen; returns when it is stored.
  func record(_ events: [JSONValue]) async throws(Refusal) {
    var request = HTTPClientRequest(url: baseURL + "/trace/events")
    request.method = .POST
    request.headers = ["authorization": authorization, "content-type": "application/json"]
    request.body = .bytes(ByteBuffer(bytes: JSONValue.object(["events": .array(events)]).canonicalBytes))
    _ = try await answer(to: request)
  }

  private func post(_ path: String, _ form: [(String, String)]) async throws(Refusal) -> JSONValue {
    var request = HTTPClientRequest(url: baseURL + path)
    request.method = .POST
    request.headers = ["authorization": authorization, "content-type": "application/x-www-form-urlencoded"]
    request.body = .bytes(ByteBuffer(bytes: FormBody.encode(form)))
    return try await answer(to: request)
  }

  private func answer(
    to request: HTTPClientRequest, timeout: TimeAmount = RuntimeClient.timeout
  ) async throws(Refusal) -> JSONValue {
    let status: Int
    let body: [UInt8]
    do {
      let response = try await send(request, timeout: timeout)
      status = Int(response.status.code)
      body = Array(try await response.body.collect(upTo: Self.maximumAnswerBytes).readableBytesView)
    } catch {
      // A question that was given up says nothing of the runtime.
      if !Task.isCancelled, contact.gaveNoAnswer() {
        logger.error("the runtime does not answer", metadata: ["runtime": "\(baseURL)", "why": "\(error)"])
      }
      throw Refusal(.runtimeUnavailable, "the runtime does not answer")
    }
    if contact.answered(isAble: status < 500) {
      logger.notice("the runtime answers again", metadata: ["runtime": "\(baseURL)"])
    }
    if status == 204 { return [:] }
    guard let json = try? JSONValue(parsing: body), json.object != nil else { throw Self.unreadable }
    switch status {
    case 200: return json
    case 400..<500 where status != 429 && status != 408:
      throw Refusal(
        json["reason"]?.string.flatMap { RefusalReason(rawValue: $0) }
          ?? (json["error"]?.string == "invalid_client" ? .callerUnknown : .malformedRequest),
        String((json["error_description"]?.string ?? json["detail"]?.string ?? "the runtime refused").prefix(256)),
        decisionID: json["decision_id"]?.string,
        retryAfter: json["retry_after"]?.integer.flatMap { (1...3600).contains($0) ? Int($0) : nil })
    default: throw Refusal(.runtimeUnavailable, "the runtime can't decide now (status \(status))")
    }
  }

  /// A question that no connection was made for was not asked: it is asked again.
  private func send(_ request: HTTPClientRequest, timeout: TimeAmount) async throws -> HTTPClientResponse {
    let deadline = NIODeadline.now() + timeout
    let connectingDeadline = NIODeadline.now() + Self.connectingTimeout
    var pause = Duration.milliseconds(25)
    while true {
      do {
        return try await http.execute(request, deadline: deadline)
      } catch  where Self.isRefusedConnection(error) {
        guard NIODeadline.now() + .milliseconds(pause.wholeMilliseconds) < connectingDeadline else { throw error }
        // Not all at once.
        try await Task.sleep(for: pause * Double.random(in: 0.5...1))
        pause = min(pause * 2, .milliseconds(200))
      }
    }
  }

  private static func isRefusedConnection(_ error: any Error) -> Bool {
    error is NIOConnectionError || (error as? IOError)?.errnoCode == ECONNREFUSED
  }

  private static let unreadable = Refusal(.runtimeUnavailable, "the runtime's answer can't be read")
}
