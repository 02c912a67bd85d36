import AgentProtocols
public import CASACore
import Crypto
import IntentChecks
import Storage
import Traces

/// What an authenticated part of the data plane saw, as it reports it.
public enum Report: Sendable {
  /// The LLM answered and selected these calls; the T2 of the request is the evidence for whom and in which session.
  case llmCall(token: UnverifiedToken, selections: [(tool: ToolName, argumentsSHA256: String)])
  /// A tool answered; the T3 of the call is the evidence for whom, in which session and to which call.
  case toolResult(token: UnverifiedToken, ToolResultReport)
  /// A request was let through or refused.
  case call(CallReport)

  /// The most reports in one request.
  public static let maximumBatch = 100
}

/// What a tool answered, as `ToolResultContent` reads it.
public struct ToolResultReport: Sendable {
  public let text: String
  public let isTruncated: Bool
  public let unread: [String]
}

/// One request as an ingress or egress decided it.
public struct CallReport: Sendable {
  public let verdict: Verdict
  public let payload: [String: JSONValue]
  public let traceID: TraceID?
  public let userInputID: UserInputID?
}

extension Report {
  /// Reads one element of `POST /trace/events`.
  public init(json: JSONValue) throws(InvalidField) {
    func token(expected: String) throws(InvalidField) -> UnverifiedToken {
      guard let token = json["token"]?.string, token.utf8.count <= TokenVerifier.maximumTokenBytes else {
        throw InvalidField("token", expected: expected)
      }
      return UnverifiedToken(token)
    }
    switch json["kind"]?.string {
    case TraceEvent.Kind.llmCall.rawValue:
      let token = try token(expected: "the llm-access token of the request")
      guard let list = json["selections"]?.array, list.count <= 128 else {
        throw InvalidField("selections", expected: "an array of at most 128 objects")
      }
      var selections: [(tool: ToolName, argumentsSHA256: String)] = []
      for element in list {
        guard let tool = element["tool"]?.string.flatMap({ ToolName($0) }),
          let digest = element["arguments_sha256"]?.string, TokenHash(digest) != nil
        else { throw InvalidField("selections", expected: "objects with `tool` and `arguments_sha256`") }
        selections.append((tool, digest))
      }
      self = .llmCall(token: token, selections: selections)
    case TraceEvent.Kind.toolResult.rawValue:
      self = .toolResult(
        token: try token(expected: "the call-tools token of the call"), try ToolResultReport(json: json))
    case TraceEvent.Kind.callAdmitted.rawValue: self = .call(try CallReport(json: json, verdict: .allow))
    case TraceEvent.Kind.callRefused.rawValue:
      guard let reason = json["reason"]?.string.flatMap({ RefusalReason(rawValue: $0) }) else {
        throw InvalidField("reason", expected: "one of the reasons of refusals")
      }
      self = .call(try CallReport(json: json, verdict: .refuse(reason)))
    default: throw InvalidField("kind", expected: "llm_call, tool_result, call_admitted or call_refused")
    }
  }
}

/// A text without the character NUL, which no database stores everywhere.
private func storable(_ text: String) -> String {
  text.utf8.contains(0) ? String(text.unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : Character($0) }) : text
}

extension ToolResultReport {
  init(json: JSONValue) throws(InvalidField) {
    guard let text = json["text"]?.string, text.utf8.count <= ToolResultContent.maximumBytes else {
      throw InvalidField("text", expected: "text of at most \(ToolResultContent.maximumBytes) bytes")
    }
    self.text = storable(text)
    guard let isTruncated = (json["truncated"] ?? false).bool else {
      throw InvalidField("truncated", expected: "true or false")
    }
    self.isTruncated = isTruncated
    guard let list = (json["unread"] ?? []).array, list.count <= ToolResultContent.maximumUnread else {
      throw InvalidField("unread", expected: "an array of at most \(ToolResultContent.maximumUnread) kinds")
    }
    var unread: [String] = []
    for element in list {
      guard let kind = element.string, ToolResultContent.isUnreadKind(kind) else {
        throw InvalidField("unread", expected: "kinds of content of 1 to 64 of A-Z a-z 0-9 _ - .")
      }
      unread.append(kind)
    }
    self.unread = unread
  }
}

extension CallReport {
  init(json: JSONValue, verdict: Verdict) throws(InvalidField) {
    self.verdict = verdict
    var payload: [String: JSONValue] = [:]
    // Only what is known, as short text: a report is no place for prompts or tokens.
    for name in [
      "direction", "destination", "method", "tool", "explanation", "decision_id", "token_sha256", "correlated_by",
    ] {
      guard let value = json[name] else { continue }
      guard let text = value.string, text.utf8.count <= 300 else {
        throw InvalidField(name, expected: "text of at most 300 bytes")
      }
      payload[name] = .string(storable(text))
    }
    if let latency = json["latency_ms"] {
      guard case .number(let value) = latency, value >= 0, value < 1e9 else {
        throw InvalidField("latency_ms", expected: "a number of milliseconds")
      }
      payload["latency_ms"] = latency
    }
    // A request that was decided again as it was decided before is counted, not told again.
    if let count = json["count"] {
      guard let number = count.integer, (1...1_000_000_000).contains(number) else {
        throw InvalidField("count", expected: "a whole number from 1 to 1000000000")
      }
      payload["count"] = count
    }
    if case .refuse(let reason) = verdict { payload["reason"] = .string(reason.rawValue) }
    self.payload = payload
    switch json["trace_id"] {
    case nil: traceID = nil
    case let value?:
      guard let id = value.string.flatMap({ TraceID($0) }) else {
        throw InvalidField("trace_id", expected: "32 lowercase hexadecimal digits")
      }
      traceID = id
    }
    switch json["user_input_id"] {
    case nil: userInputID = nil
    case let value?:
      guard let id = value.string.flatMap({ UserInputID(validating: $0) }) else {
        throw InvalidField("user_input_id", expected: "an identifier")
      }
      userInputID = id
    }
  }
}

extension AuthorizationServer {
  /// For how long after its token has expired a call's result is taken in: longer than Envoy waits for any tool (its
  /// stream to the reader of answers lasts 600 s).
  static let resultLateness = Duration.seconds(900)

  /// Stores what a part reports of its own app; all of it or nothing.
  public func record(_ reports: [Report], by client: AuthenticatedClient) async throws(OAuthError) {
    let app = client.app
    var unit: [Statement] = []
    var answers: [(session: UserInputID, selections: [RecordedSelection])] = []
    var results: [(session: UserInputID, result: ToolResult)] = []
    let now = clock.now()
    for report in reports {
      switch report {
      case .llmCall(let token, let selections):
        guard let verified = live(token), verified.claims.scope == .llmAccess, verified.claims.clientID == app.id,
          let session = verified.claims.userInputID
        else {
          throw OAuthError(
            .accessDenied, "the evidence of an llm_call must be this app's live llm-access token",
            reason: .tokenInactive)
        }
        try await takeUpSession(of: verified)
        try await refresh(session)
        let recorded =
          sessions.activity(of: app.id, in: session).selections.count
          + answers.lazy.filter { $0.session == session }.map(\.selections.count).reduce(0, +)
        guard recorded + selections.count <= SessionLedger.maximumSelections else {
          throw OAuthError(.accessDenied, "the session holds too many selections", reason: .overloaded)
        }
        unit += Self.insertions(of: selections, session: session, app: app.id, at: now)
        let listed = selections.map { selection -> JSONValue in
          ["tool": .string(selection.tool.text), "arguments_sha256": .string(selection.argumentsSHA256)]
        }
        unit.append(
          TraceLog.insertion(
            of: TraceEvent(
              .llmCall, at: now, masID: app.masID, userInputID: session, traceID: verified.claims.traceID,
              appID: app.id,
              payload: ["token_sha256": .string(verified.hash.text), "selections": .array(listed)])))
        answers.append(
          (
            session,
            selections.map {
              RecordedSelection(tool: $0.tool, argumentsSHA256: $0.argumentsSHA256, isUsed: false)
            }
          ))
      case .toolResult(let token, let report):
        let (verified, session, result) = try await self.result(report, evidence: token, of: app)
        unit.append(result.insertion(for: verified.claims.id, session: session, app: app.id, at: now))
        unit.append(TraceLog.insertion(of: event(of: result, token: verified, app: app, at: now)))
        results.append((session, result))
      case .call(let call):
        // A session the app's MAS does not have is not written into.
        if storage.isShared, let id = call.userInputID {
          do {
            _ = try await sessions.resume(id, liveUntil: now)
          } catch {
            throw Self.storageFailure
          }
        }
        let session = call.userInputID.flatMap { sessions.input($0) }.flatMap { $0.masID == app.masID ? $0.id : nil }
        unit.append(
          TraceLog.insertion(
            of: TraceEvent(
              call.verdict == .allow ? .callAdmitted : .callRefused, at: now, masID: app.masID, userInputID: session,
              traceID: call.traceID, appID: app.id, payload: call.payload)))
      }
    }
    guard !unit.isEmpty else { return }
    try take(results)
    do {
      try await storage.commit(unit)
    } catch {
      for (session, result) in results { sessions.withdraw(result, in: session) }
      guard !results.isEmpty else { throw Self.storageFailure }
      switch error {
      case .unexpectedChanges: throw Self.refusal(ofResult: .tokenInactive)
      case .conflict: throw Self.refusal(ofResult: .tokenSpent)
      default: throw Self.storageFailure
      }
    }
    for (_, result) in results { models.announce(.result(result)) }
    for answer in answers {
      sessions.recordLLMCall(by: app.id, in: answer.session, selections: answer.selections)
    }
  }

  // MARK: Results

  /// A T3 of this app stands for the call it was issued for, spent or not. It may have expired while the tool was at
  /// work.
  private func result(
    _ report: ToolResultReport, evidence: UnverifiedToken, of app: App
  ) async throws(OAuthError) -> (token: VerifiedToken, session: UserInputID, result: ToolResult) {
    guard let verified = verifier.verify(evidence, lateness: Self.resultLateness), isUnrevoked(verified),
      verified.claims.scope == .callTools, verified.claims.clientID == app.id, verified.claims.masID == app.masID,
      let call = verified.claims.call, let session = verified.claims.userInputID
    else { throw Self.refusal(ofResult: .tokenInactive) }
    let known: UserInput?
    do {
      // A session that is over is looked at once more, and goes again.
      known = try await sessions.resume(session, liveUntil: max(verified.claims.expiresAt, clock.now()))
    } catch {
      throw Self.storageFailure
    }
    guard known != nil else { throw Self.refusal(ofResult: .overloaded) }
    try await refresh(session)
    let result = ToolResult(
      id: verified.claims.id.rawValue, server: call.server, tool: call.tool, text: report.text,
      isTruncated: report.isTruncated, unread: report.unread)
    return (verified, session, result)
  }

  /// Takes in all of them or none.
  private func take(_ results: [(session: UserInputID, result: ToolResult)]) throws(OAuthError) {
    for (index, (session, result)) in results.enumerated() {
      do {
        try sessions.take(result, in: session)
      } catch {
        for (session, result) in results[..<index] { sessions.withdraw(result, in: session) }
        throw Self.refusal(ofResult: error)
      }
    }
  }

  private func event(of result: ToolResult, token: VerifiedToken, app: App, at now: Timestamp) -> TraceEvent {
    TraceEvent(
      .toolResult, at: now, masID: app.masID, userInputID: token.claims.userInputID, traceID: token.claims.traceID,
      appID: app.id,
      payload: [
        "token_sha256": .string(token.hash.text), "server": .string(result.server.text),
        "tool": .string(result.tool.text), "bytes": .number(Double(result.text.utf8.count)),
        "sha256": .string(lowercaseHex(SHA256.hash(data: Array(result.text.utf8)))),
        "truncated": .bool(result.isTruncated), "unread": .array(result.unread.map(JSONValue.string)),
      ])
  }

  private static func refusal(ofResult reason: RefusalReason) -> OAuthError {
    let explanation =
      switch reason {
      case .tokenSpent: "a result of this call was recorded before"
      case .overloaded: "the session, or all sessions together, hold too many results"
      case .sessionUnknown: "the session of this call has ended"
      default:
        "the evidence of a tool_result must be this app's call-tools token, not revoked, and at most \(resultLateness.components.seconds) s after its expiry"
      }
    return OAuthError(.accessDenied, explanation, reason: reason)
  }

  private static func insertions(
    of selections: [(tool: ToolName, argumentsSHA256: String)], session: UserInputID, app: AppID, at now: Timestamp
  ) -> [Statement] {
    let call = Identifier<LLMCallSubject>.random(prefix: "llm")
    var unit = [
      Statement(
        "INSERT INTO llm_calls (id, user_input_id, app_id, recorded_at) VALUES ($1, $2, $3, $4)",
        [.text(call.rawValue), .text(session.rawValue), .text(app.rawValue), .integer(now.milliseconds)],
        expectedChanges: 1)
    ]
    for (index, selection) in selections.enumerated() {
      unit.append(
        Statement(
          """
          INSERT INTO selections (id, user_input_id, app_id, tool, arguments_sha256, recorded_at)
          VALUES ($1, $2, $3, $4, $5, $6)
          """,
          [
            .text("\(call)-\(index)"), .text(session.rawValue), .text(app.rawValue), .text(selection.tool.text),
            .text(selection.argumentsSHA256), .integer(now.milliseconds),
          ], expectedChanges: 1))
    }
    return unit
  }

  private enum LLMCallSubject {}
}
