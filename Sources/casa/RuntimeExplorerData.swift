import AgentProtocols
import CASACore
import Explorer
import IntentChecks
import RuntimeAPI
import TokenService
import Traces

/// The runtime's registry and traces, as the Explorer shows them.
struct RuntimeExplorerData: ExplorerData {
  private let registry: Registry
  private let reader: TraceReader

  init(_ view: RuntimeView) {
    registry = view.registry
    reader = view.reader
  }

  private var now: Timestamp { WallClock.system.now() }

  func systems(_ access: ReadAccess) async throws -> JSONValue {
    let totals = try await reader.totals(access, now: now)
    let systems = registry.systems().filter { access.includes($0.id) }
    return ["systems": .array(systems.map { .object(summary($0, totals[$0.id] ?? [:])) })]
  }

  private func summary(_ system: MAS, _ totals: [String: Int64]) -> [String: JSONValue] {
    var members = system.json.object ?? [:]
    members["apps"] = .number(Double(registry.apps(of: system.id).count))
    for name in ["sessions", "allowed", "refused", "alerts"] { members[name] = .number(Double(totals[name] ?? 0)) }
    return members
  }

  func system(_ id: MASID, _ access: ReadAccess) async throws -> JSONValue? {
    guard access.includes(id), let system = registry.mas(id) else { return nil }
    let apps = registry.apps(of: id)
    return [
      "id": .string(id.rawValue), "name": .string(system.name.text), "created_at": .string(system.createdAt.rfc3339),
      "settings": .object(system.settings.json), "apps": .array(apps.map(\.json)),
      "tools": .array(apps.flatMap { app in registry.tools(of: app.id).map { tool($0, of: app, system) } }),
      "policy": .null,
    ]
  }

  private func tool(_ tool: RegisteredTool, of app: App, _ system: MAS) -> JSONValue {
    var members = tool.json.object ?? [:]
    members["app_id"] = .string(app.id.rawValue)
    members["app"] = .string(app.name.text)
    members["pinned_definition"] = tool.pinnedDefinition ?? .null
    let effects = system.settings.intent.effects(of: tool.toolDescription)
    members["effect"] = .string(effects.map(\.rawValue).sorted().joined(separator: ", "))
    return .object(members)
  }

  func sessions(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    try await reader.sessions(try TraceQuery(query, known: TraceReader.sessionParameters, limit: 50), access)
  }

  func session(_ id: UserInputID, isWhole: Bool, _ access: ReadAccess) async throws -> JSONValue? {
    try await reader.session(id, isWhole: isWhole, access)
  }

  func events(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    let (events, next) = try await reader.events(try TraceQuery(query, known: TraceReader.eventParameters), access)
    return ["events": .array(events.map(\.json)), "next_after": .number(Double(next))]
  }

  func lastEvent() async throws -> Int64 { try await reader.lastSequence() }

  func alerts(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    try await reader.alerts(try TraceQuery(query, known: TraceReader.alertParameters, limit: 50), access)
  }

  func statistics(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    try await reader.statistics(try TraceQuery(query, known: TraceReader.statisticsParameters), access, now: now)
  }

  func graph(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    try await reader.graph(try TraceQuery(query, known: TraceReader.statisticsParameters), access, now: now)
  }

  func search(_ text: String, _ access: ReadAccess) async throws -> JSONValue {
    try await reader.search(text, access)
  }
}

/// Browsers' cookies, as the runtime makes and reads them.
struct RuntimeBrowserAccess: BrowserAccess {
  private let access: TraceAccess

  init(_ access: TraceAccess) { self.access = access }

  var isOpen: Bool { access.isOpen }

  func access(cookie: String?, host: String?) async -> ReadAccess? { access.access(cookie: cookie, host: host) }

  func signIn(credential: String) async -> String? { access.cookie(credential: credential) }
}
