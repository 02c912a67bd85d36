import AgentProtocols
import CASACore
import HTTPTypes
import Hummingbird
import Logging
import ServiceLifecycle
import TokenService

/// The endpoints that apps, and the parts that act for them, call.
extension RuntimeResponder {
  func oauthAnswer(to request: Request, route: Route) async throws -> Answer {
    if case .selfApp = route {
      let client = try await authenticatedClient(request, form: nil)
      let peers = server.registry.apps(of: client.app.masID).filter { $0.id != client.app.id }
      var members = client.app.json.object ?? [:]
      members["peers"] = .array(
        peers.map { peer in
          var members: [String: JSONValue] = [
            "id": .string(peer.id.rawValue), "name": .string(peer.name.text), "kind": .string(peer.kind.rawValue),
          ]
          if peer.kind == .mcpServer {
            members["allowed_methods"] = .array(peer.settings.allowedMethods.map(JSONValue.string))
            var tools: [String: JSONValue] = [:]
            for tool in server.registry.tools(of: peer.id) where tool.isPinned {
              tools[tool.name.text] = tool.pinnedSHA256.map(JSONValue.string)
            }
            members["tools"] = .object(tools)
          }
          return .object(members)
        })
      return Answer(.ok, json: .object(members)).unstored()
    }
    if case .revocations = route { return try await revocations(request) }
    let form = try await form(request)
    let client = try await authenticatedClient(request, form: form)
    switch route {
    case .token:
      switch try TokenRequest(form: form) {
      case .issue(let issue): return Answer(.ok, json: try await server.issue(issue, to: client).json).unstored()
      case .discover(let discover):
        return Answer(.ok, json: try await server.discover(discover, by: client).json).unstored()
      case .resume(let trace): return Answer(.ok, json: try await server.resume(trace, by: client).json).unstored()
      case .exchange(let exchange):
        return Answer(.ok, json: try await server.exchange(exchange, by: client).json).unstored()
      }
    case .exchange:
      guard case .exchange(let exchange) = try TokenRequest(form: form) else {
        throw OAuthError(.unsupportedGrantType, "this endpoint only exchanges tokens; others come from /oauth/token")
      }
      return Answer(.ok, json: try await server.exchange(exchange, by: client).json).unstored()
    case .introspect:
      return Answer(.ok, json: try await server.introspect(try token(form), by: client).json).unstored()
    case .spend:
      let claims = try await server.spend(try token(form), by: client)
      return Answer(.ok, json: Introspection.active(claims).json).unstored()
    default:
      try await server.revoke(try token(form), by: client)
      return Answer(.ok, json: [:]).unstored()
    }
  }

  /// Which sessions of the client's MAS something was revoked in; waits for it for at most 20 s, and not when the
  /// runtime is to end.
  private func revocations(_ request: Request) async throws -> Answer {
    let client = try await authenticatedClient(request, form: nil)
    var cursor: RevocationFeed.Cursor?
    if let text = try query(request)["after"] {
      guard let parsed = RevocationFeed.Cursor(text) else {
        throw Refused(.badRequest, "`after` must be the `cursor` of an earlier answer")
      }
      cursor = parsed
    }
    let page = await cancelWhenGracefulShutdown { [cursor] in
      await server.revocations.page(after: cursor, of: client.app.masID, waitingFor: .seconds(20))
    }
    return Answer(
      .ok,
      json: [
        "cursor": .string(page.cursor.text), "is_partial": .bool(page.isPartial),
        "user_input_ids": .array(page.sessions.map { .string($0.rawValue) }),
      ]
    ).unstored()
  }

  func authenticatedClient(_ request: Request, form: FormBody?) async throws -> AuthenticatedClient {
    try await server.authenticate(
      try ClientCredentials(authorization: try request.headers.authorization(), form: form))
  }

  private func token(_ form: FormBody) throws(OAuthError) -> UnverifiedToken {
    guard let token = form["token"] else { throw OAuthError(.invalidRequest, "`token` is missing") }
    return UnverifiedToken(token)
  }

  /// Authorization server metadata (RFC 8414 section 2).
  var metadata: JSONValue {
    let issuer = server.configuration.issuer
    let methods: JSONValue = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    let algorithms: JSONValue = .array(SigningAlgorithm.allCases.map { .string($0.rawValue) })
    return [
      "issuer": .string(issuer), "token_endpoint": .string(issuer + "/oauth/token"),
      "introspection_endpoint": .string(issuer + "/oauth/introspect"),
      "revocation_endpoint": .string(issuer + "/oauth/revoke"), "jwks_uri": .string(issuer + "/oauth/jwks"),
      "grant_types_supported": [
        "client_credentials", .string(TokenRequest.tokenExchangeGrant), .string(TokenRequest.deliveredSessionGrant),
      ],
      "response_types_supported": [],
      "scopes_supported": ["user-input", "llm-access", "call-tools", "discover-tools"],
      "token_endpoint_auth_methods_supported": methods,
      "introspection_endpoint_auth_methods_supported": methods,
      "revocation_endpoint_auth_methods_supported": methods,
      "token_endpoint_auth_signing_alg_values_supported": algorithms,
      "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
      "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
      "authorization_details_types_supported": [.string(ToolCallBinding.type)],
      "service_documentation": .string(issuer + "/openapi.json"),
    ]
  }

  /// `POST /trace/events`: what a sidecar's authorization service saw, or a node guard.
  func record(_ request: Request) async throws -> Answer {
    let reporter = try await server.authenticateReporter(
      try ClientCredentials(authorization: try request.headers.authorization(), form: nil))
    let body = try await json(request, maximumBytes: Self.maximumReportBytes)
    guard let list = body["events"]?.array, (1...Report.maximumBatch).contains(list.count) else {
      throw InvalidField("events", expected: "an array of 1 to \(Report.maximumBatch) events")
    }
    switch reporter {
    case .client(let client):
      try await server.record(try reports(list) { (json) throws(InvalidField) in try Report(json: json) }, by: client)
    case .node(let node):
      let now = server.now
      let flows = try reports(list) { (json) throws(InvalidField) in try FlowReport(json: json, now: now) }
      for exfiltration in try await server.record(flows, by: node) {
        metrics.countExfiltration(exfiltration.reason)
        logger.warning(
          "a token was seen where it was not issued for: \(exfiltration.explanation)",
          metadata: [
            "token": "\(exfiltration.token.short)", "node": "\(exfiltration.node)",
            "user_input_id": "\(exfiltration.userInputID?.rawValue ?? "none")",
          ])
      }
    }
    return .noContent
  }

  /// Whoever sends many learns which one is wrong.
  private func reports<Value>(
    _ list: [JSONValue], _ read: (JSONValue) throws(InvalidField) -> Value
  ) throws(InvalidField) -> [Value] {
    var values: [Value] = []
    for (index, element) in list.enumerated() {
      do {
        values.append(try read(element))
      } catch {
        throw InvalidField("events[\(index)].\(error.field)", expected: error.expected)
      }
    }
    return values
  }

  /// The prompt, for the client that brought it and for the administrator.
  func userInput(_ id: UserInputID, _ request: Request) async throws -> Answer {
    let authorization = try request.headers.authorization()
    let isAdmin = authorization.flatMap { BearerCredentials(headerValue: $0) }.map { admin.matches($0.token) } ?? false
    let client = isAdmin ? nil : try await authenticatedClient(request, form: nil)
    guard let (input, text) = try await server.userInput(id), isAdmin || client?.app.id == input.appID else {
      throw Refused(.notFound, "no user input of this client has that id")
    }
    return Answer(
      .ok,
      json: [
        "id": .string(id.rawValue), "mas_id": .string(input.masID.rawValue), "app_id": .string(input.appID.rawValue),
        "trace_id": .string(input.traceID.text), "user_input": .string(text), "sha256": .string(input.sha256),
        "created_at": .string(input.createdAt.rfc3339),
      ]
    ).unstored()
  }
}
