import CASACore
import Storage
import TestPostgres
import Traces

/// A database with a projection, and events that tests put into it.
final class TraceFixture: Sendable {
  static let mas = MASID("mas_bank")
  static let otherMAS = MASID("mas_shop")
  static let client = AppID("app_client")
  static let agent = AppID("app_agent")
  static let bank = AppID("app_bank")
  static let start = Timestamp(milliseconds: 1_795_845_600_000)
  static let everything = ReadAccess(name: "test", systems: nil, readsPrompts: true)

  private let database: TestDatabase
  let storage: any StorageDriver
  let log: TraceLog
  let projector: TraceProjector
  let reader: TraceReader

  init(now: Timestamp = start + .seconds(3600)) async throws {
    database = try await TestDatabase()
    storage = try database.open()
    try await storage.migrate(Schema.migrations)
    log = TraceLog(storage: storage)
    projector = TraceProjector(storage: storage, clock: WallClock { now })
    reader = TraceReader(storage: storage, directory: Names())
  }

  struct Names: TraceDirectory {
    func systemName(_ id: MASID) -> String? { systemNames().first { $0.id == id }?.name }
    func appName(_ id: AppID) -> (name: String, kind: AppKind)? {
      appsByName(of: nil).first { $0.id == id }.map { ($0.name, $0.kind) }
    }
    func appsByName(of system: MASID?) -> [(id: AppID, name: String, kind: AppKind, system: MASID)] {
      [
        (TraceFixture.client, "client", .client, TraceFixture.mas),
        (TraceFixture.agent, "agent", .agent, TraceFixture.mas),
        (TraceFixture.bank, "bank", .mcpServer, TraceFixture.mas),
      ].filter { system == nil || system == $0.3 }
    }
    func systemNames() -> [(id: MASID, name: String)] { [(TraceFixture.mas, "bank"), (TraceFixture.otherMAS, "shop")] }
  }

  // MARK: What happens

  /// A session with its prompt, `seconds` after the start.
  func begin(_ session: String, _ prompt: String, at seconds: Int = 0, in mas: MASID = mas) async throws {
    let at = Self.start + .seconds(seconds)
    try await storage.commit([
      Statement(
        """
        INSERT INTO user_inputs (id, mas_id, app_id, trace_id, text, sha256, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
          .text(session), .text(mas.rawValue), .text(Self.client.rawValue), .text("trace of " + session), .text(prompt),
          .text(""), .integer(at.milliseconds),
        ]),
      TraceLog.insertion(of: event(.userInputReceived, session, Self.client, at: seconds, in: mas)),
    ])
  }

  func event(
    _ kind: TraceEvent.Kind, _ session: String?, _ app: AppID?, at seconds: Int = 0, in mas: MASID? = mas,
    _ payload: [String: JSONValue] = [:]
  ) -> TraceEvent {
    TraceEvent(
      kind, at: Self.start + .seconds(seconds), masID: mas, userInputID: session.map { UserInputID($0) }, appID: app,
      payload: payload)
  }

  func append(_ events: TraceEvent...) async throws { try await log.append(events) }

  func project() async throws {
    while try await projector.advance() > 0 {}
  }

  static func hash(_ digit: Character) -> String { String(repeating: digit, count: 64) }

  // MARK: What is told

  func sessions(_ parameters: [String: String] = [:], _ access: ReadAccess = everything) async throws -> [JSONValue] {
    let query = try TraceQuery(parameters, known: TraceReader.sessionParameters, limit: 50)
    return try await reader.sessions(query, access)["sessions"]?.array ?? []
  }

  func ids(_ parameters: [String: String] = [:], _ access: ReadAccess = everything) async throws -> [String] {
    try await sessions(parameters, access).compactMap { $0["id"]?.string }
  }

  func alerts(_ access: ReadAccess = everything) async throws -> [JSONValue] {
    let query = try TraceQuery([:], known: TraceReader.alertParameters, limit: 50)
    return try await reader.alerts(query, access)["alerts"]?.array ?? []
  }

  func statistics(_ parameters: [String: String] = [:], _ access: ReadAccess = everything) async throws -> JSONValue {
    let query = try TraceQuery(parameters, known: TraceReader.statisticsParameters)
    return try await reader.statistics(query, access, now: Self.start + .seconds(3600))
  }
}
