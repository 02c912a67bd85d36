import Administration
import AgentProtocols
import CASACore

/// Gets tokens as the sidecars get them, so that the demonstration can show what a thief of one can do with it.
struct StolenTokens: Sendable {
  let runtime: RuntimeAdministration
  let client: ClientIdentity
  let agent: ClientIdentity

  private static let exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
  private static let accessToken = "urn:ietf:params:oauth:token-type:access_token"

  /// The header fields of a request that carries a stolen token.
  func headers(with token: DemoScenario.StolenToken, prompt: String) async throws(LocalModeError) -> JSONValue {
    let stolen: JSONValue
    let session: Session
    switch token {
    case .none: return [:]
    case .userInput:
      session = try await begin(prompt)
      stolen = try await exchange(session.token, [("scope", "user-input"), ("audience", "bank")])
    case .toolCall:
      session = try await begin(prompt)
      stolen = try await toolToken(session.token)
    }
    guard let compact = stolen["access_token"]?.string else { throw LocalModeError("the runtime exchanged nothing") }
    return [
      "authorization": .string("Bearer " + compact),
      "traceparent": .string(TraceParent.random(traceID: session.trace).text),
    ]
  }

  private struct Session {
    let token: String
    let trace: TraceID
  }

  private func begin(_ prompt: String) async throws(LocalModeError) -> Session {
    let issued = try await runtime.token(
      [("grant_type", "client_credentials"), ("user_input", prompt), ("audience", "agent")], as: client)
    guard let token = issued["access_token"]?.string, let trace = issued["trace_id"]?.string.flatMap({ TraceID($0) })
    else { throw LocalModeError("the runtime issued no token") }
    return Session(token: token, trace: trace)
  }

  private func toolToken(_ subject: String) async throws(LocalModeError) -> JSONValue {
    let (tool, arguments) = DemoScenario.stolenCall
    let llm = try await exchange(subject, [("scope", "llm-access")])
    let call = argumentsSHA256(arguments.object ?? [:])
    _ = try await runtime.post(
      "/trace/events",
      [
        "events": [
          [
            "kind": "llm_call", "token": llm["access_token"] ?? .null,
            "selections": [["tool": .string(tool), "arguments_sha256": .string(call)]],
          ]
        ]
      ], as: agent)
    let details: JSONValue = [
      ["type": .string(ToolCallBinding.type), "server": "bank", "tool": .string(tool), "arguments": arguments]
    ]
    return try await exchange(subject, [("scope", "call-tools"), ("authorization_details", details.canonicalText)])
  }

  private func exchange(_ subject: String, _ fields: [(String, String)]) async throws(LocalModeError) -> JSONValue {
    try await runtime.token(
      [
        ("grant_type", Self.exchangeGrant), ("subject_token", subject), ("subject_token_type", Self.accessToken),
      ] + fields, as: agent)
  }
}
