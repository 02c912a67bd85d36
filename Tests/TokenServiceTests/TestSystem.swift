import AgentProtocols
import CASACore
import Foundation
import Storage
import Synchronization
import TestPostgres
import Testing
import Traces

@testable import TokenService

/// A clock that stands still until a test moves it.
final class TestClock: Sendable {
  static let start = Timestamp(seconds: 1_800_000_000)
  private let moment = Mutex(start)

  var wallClock: WallClock { WallClock { self.moment.withLock { $0 } } }
  var now: Timestamp { moment.withLock { $0 } }
  func advance(by interval: Duration) { moment.withLock { $0 = $0 + interval } }
}

/// An authorization server on a storage of its own, with a MAS as an administrator sets it up: a client, two
/// agents, and two MCP servers whose tools are approved.
struct TestSystem: Sendable {
  let database: TestDatabase
  let clock: TestClock
  let storage: any StorageDriver
  let server: AuthorizationServer
  let mas: MAS
  let client: App
  let agent: App
  let other: App
  let weather: App
  let mail: App

  static let issuer = "https://casa.example"

  /// - Parameter databaseKind: as in `TestDatabase`.
  init(
    configuration: AuthorizationServer.Configuration = .init(issuer: issuer), databaseKind: String? = nil
  ) async throws {
    database = try await TestDatabase(databaseKind)
    clock = TestClock()
    storage = try database.open()
    try await storage.migrate(Schema.migrations)
    server = try await AuthorizationServer(configuration: configuration, storage: storage, clock: clock.wallClock)
    let registry = server.registry
    mas = try await registry.createMAS(name: try #require(Name("travel")), settings: .init())
    client = try await Self.app("assistant", .client, in: mas.id, registry)
    agent = try await Self.app("planner", .agent, in: mas.id, registry)
    other = try await Self.app("booker", .agent, in: mas.id, registry)
    weather = try await Self.app("weather", .mcpServer, in: mas.id, registry)
    mail = try await Self.app("mail", .mcpServer, in: mas.id, registry)
    _ = try await registry.recordListing(of: weather.id, try Self.listing("get_forecast", "get_weather"))
    _ = try await registry.recordListing(of: mail.id, try Self.listing("send_mail"))
  }

  private init(
    beside other: TestSystem, configuration: AuthorizationServer.Configuration, ahead: Duration = .zero
  ) async throws {
    (database, clock, mas, client, agent) = (other.database, other.clock, other.mas, other.client, other.agent)
    (self.other, weather, mail) = (other.other, other.weather, other.mail)
    storage = try database.open()
    try await storage.migrate(Schema.migrations)
    let base = clock
    server = try await AuthorizationServer(
      configuration: configuration, storage: storage, clock: WallClock { base.now + ahead })
  }

  /// Another runtime on the same database, whose clock may go ahead of the first one's.
  func replica(ahead: Duration = .zero) async throws -> TestSystem {
    try await TestSystem(beside: self, configuration: .init(issuer: Self.issuer), ahead: ahead)
  }

  /// The same system after its process ended and another began.
  func restarted(configuration: AuthorizationServer.Configuration = .init(issuer: issuer)) async throws -> TestSystem {
    await storage.close()
    return try await TestSystem(beside: self, configuration: configuration)
  }

  static func app(
    _ name: String, _ kind: AppKind, in mas: MASID, _ registry: Registry, jwks: JSONValue? = nil
  ) async throws -> App {
    try await registry.createApp(
      in: mas, name: try #require(Name(name)), kind: kind,
      settings: .init(baseURL: kind == .mcpServer ? "http://\(name).example/mcp" : nil), jwks: jwks
    ).0
  }

  /// What a server lists whose tools have these names.
  static func listing(_ names: String..., description: String = "d") throws -> [MCPToolDefinition] {
    try MCPToolDefinition.parseList(
      ["tools": .array(names.map { ["name": .string($0), "description": .string(description)] })]
    ).tools
  }

  // MARK: What apps do

  func issue(
    _ fields: [(String, String)] = [("user_input", "What is the weather in Oslo?")], to app: App? = nil
  ) async throws -> IssuedToken {
    let form = try FormBody(parsing: FormBody.encode([("grant_type", "client_credentials")] + fields))
    guard case .issue(let request) = try TokenRequest(form: form) else { throw RefusalReason.malformedRequest }
    return try await server.issue(request, to: AuthenticatedClient(app: app ?? client)).token
  }

  /// A T1 that was issued to the client and addressed to the agent.
  func session(_ input: String = "What is the weather in Oslo?") async throws -> IssuedToken {
    try await issue([("user_input", input), ("audience", "planner")])
  }

  func exchange(
    _ subject: IssuedToken, _ scope: Scope, by app: App? = nil, _ fields: [(String, String)] = []
  ) async throws -> IssuedToken {
    try await respond(subject.compact, scope, by: app, fields).token
  }

  func respond(
    _ subject: String, _ scope: Scope, by app: App? = nil, _ fields: [(String, String)] = []
  ) async throws -> TokenResponse {
    let form = try FormBody(
      parsing: FormBody.encode(
        [
          ("grant_type", TokenRequest.tokenExchangeGrant), ("subject_token", subject),
          ("subject_token_type", ExchangeRequest.accessTokenType), ("scope", scope.rawValue),
        ] + fields))
    guard case .exchange(let request) = try TokenRequest(form: form) else { throw RefusalReason.malformedRequest }
    return try await server.exchange(request, by: AuthenticatedClient(app: app ?? agent))
  }

  /// The `authorization_details` of a call.
  static func details(
    _ tool: String, _ arguments: [String: JSONValue] = ["city": "Oslo"], server: String = "weather"
  ) -> (String, String) {
    let call: JSONValue = [
      "type": "mcp_tool_call", "server": .string(server), "tool": .string(tool), "arguments": .object(arguments),
    ]
    return ("authorization_details", JSONValue.array([call]).canonicalText)
  }

  func toolToken(
    _ session: IssuedToken, _ tool: String = "get_weather", _ arguments: [String: JSONValue] = ["city": "Oslo"],
    server: String = "weather", by app: App? = nil
  ) async throws -> IssuedToken {
    try await exchange(session, .callTools, by: app, [Self.details(tool, arguments, server: server)])
  }

  /// Records that the LLM selected these calls for an app, as its sidecar does.
  func select(
    _ session: IssuedToken, _ calls: [(String, [String: JSONValue])] = [("get_weather", ["city": "Oslo"])],
    by app: App? = nil
  ) async throws {
    let app = app ?? agent
    let token = try await exchange(session, .llmAccess, by: app)
    try await server.record(
      [
        .llmCall(
          token: UnverifiedToken(token.compact),
          selections: try calls.map { (tool: try #require(ToolName($0.0)), argumentsSHA256: argumentsSHA256($0.1)) })
      ], by: AuthenticatedClient(app: app))
  }

  func spend(_ token: IssuedToken, at app: App? = nil) async throws -> TokenClaims {
    try await server.spend(UnverifiedToken(token.compact), by: AuthenticatedClient(app: app ?? weather))
  }

  func isActive(_ token: IssuedToken, for app: App) async throws -> Bool {
    let answer = try await server.introspect(UnverifiedToken(token.compact), by: AuthenticatedClient(app: app))
    if case .active = answer { return true } else { return false }
  }

  func revoke(_ token: IssuedToken, by app: App) async throws {
    try await server.revoke(UnverifiedToken(token.compact), by: AuthenticatedClient(app: app))
  }

  /// The claims with something changed, signed by the server's own key and stored as its own.
  func resigned(_ claims: TokenClaims, _ change: (inout TokenClaims) -> Void) async throws -> IssuedToken {
    var claims = claims
    claims.id = .random(prefix: "tok")
    change(&claims)
    let token = try server.signer.sign(claims)
    try await storage.commit([server.insertion(of: token, parent: nil)])
    return token
  }

  func events(_ kind: TraceEvent.Kind) async throws -> [JSONValue] {
    try await events().filter { $0["kind"]?.string == kind.rawValue }
  }

  /// All there are.
  func events() async throws -> [JSONValue] {
    let query = try TraceQuery([:], known: [], limit: TraceQuery.maximumLimit)
    let all = ReadAccess(name: "test", systems: nil, readsPrompts: true)
    return try await TraceReader(storage: storage, directory: server.registry).events(query, all).events.map(\.json)
  }

  func rows(_ table: String) async throws -> Int64 {
    try #require(try await storage.query(Statement("SELECT COUNT(*) AS n FROM \(table)")).first).integer("n")
  }
}

/// The error with which `operation` is refused; nil when it is not, or not by the server.
func refusal(_ operation: () async throws -> Void) async -> OAuthError? {
  do {
    try await operation()
    return nil
  } catch {
    return error as? OAuthError
  }
}
