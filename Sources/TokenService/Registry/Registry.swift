import AgentProtocols
public import CASACore
import IntentChecks
import Storage
import Synchronization
public import Traces

/// The multi-agent systems, their apps and their servers' tools, and the nodes: stored, and held in memory as a whole,
/// since every request reads it.
public final class Registry: Sendable {
  private struct Snapshot {
    var systems: [MASID: MAS] = [:]
    private(set) var apps: [AppID: App] = [:]
    private(set) var ids: [MASID: [Name: AppID]] = [:]
    var tools: [AppID: [ToolName: RegisteredTool]] = [:]
    var nodes: [NodeID: Node] = [:]
    var readers: [ReaderID: Reader] = [:]

    mutating func set(_ app: App) {
      apps[app.id] = app
      ids[app.masID, default: [:]][app.name] = app.id
    }

    mutating func remove(_ app: App) {
      apps[app.id] = nil
      ids[app.masID]?[app.name] = nil
      tools[app.id] = nil
    }
  }

  private let snapshot = Mutex(Snapshot())
  private let storage: any StorageDriver
  private let clock: WallClock
  private let writes = SerialQueue()

  init(storage: any StorageDriver, clock: WallClock) async throws(StorageError) {
    self.storage = storage
    self.clock = clock
    let loaded = try await load()
    snapshot.withLock { $0 = loaded }
  }

  /// Takes in what is stored, as others may have changed it.
  func reload() async throws(StorageError) {
    try await writes.run { [self] () async throws(StorageError) in
      let loaded = try await load()
      snapshot.withLock { $0 = loaded }
    }
  }

  private func load() async throws(StorageError) -> Snapshot {
    var loaded = Snapshot()
    for row in try await storage.query(Statement("SELECT * FROM mas")) {
      let mas = try MAS(row: row)
      loaded.systems[mas.id] = mas
    }
    for row in try await storage.query(Statement("SELECT * FROM apps")) {
      let app = try App(row: row)
      loaded.set(app)
    }
    for row in try await storage.query(Statement("SELECT * FROM tools")) {
      let tool = try RegisteredTool(row: row)
      loaded.tools[tool.app, default: [:]][tool.name] = tool
    }
    for row in try await storage.query(Statement("SELECT * FROM nodes")) {
      let node = try Node(row: row)
      loaded.nodes[node.id] = node
    }
    for row in try await storage.query(Statement("SELECT * FROM readers")) {
      let reader = try Reader(row: row)
      loaded.readers[reader.id] = reader
    }
    return loaded
  }

  // MARK: Reading

  public func mas(_ id: MASID) -> MAS? { snapshot.withLock { $0.systems[id] } }
  public func app(_ id: AppID) -> App? { snapshot.withLock { $0.apps[id] } }
  /// All systems by name.
  public func systems() -> [MAS] {
    snapshot.withLock { Array($0.systems.values) }.sorted { $0.name.text < $1.name.text }
  }
  /// The apps of one MAS, or of all, by name.
  public func apps(of mas: MASID?) -> [App] {
    snapshot.withLock { $0.apps.values.filter { mas == nil || $0.masID == mas } }
      .sorted { ($0.masID.rawValue, $0.name.text) < ($1.masID.rawValue, $1.name.text) }
  }
  public func app(named name: Name, in mas: MASID) -> App? {
    snapshot.withLock { snapshot in snapshot.ids[mas]?[name].flatMap { snapshot.apps[$0] } }
  }
  public func node(_ id: NodeID) -> Node? { snapshot.withLock { $0.nodes[id] } }
  /// All nodes by name.
  public func nodes() -> [Node] {
    snapshot.withLock { Array($0.nodes.values) }.sorted { $0.name.text < $1.name.text }
  }
  public func reader(_ id: ReaderID) -> Reader? { snapshot.withLock { $0.readers[id] } }
  /// All readers by name.
  public func readers() -> [Reader] {
    snapshot.withLock { Array($0.readers.values) }.sorted { $0.name.text < $1.name.text }
  }
  /// The tools a server was seen to offer, by name.
  public func tools(of app: AppID) -> [RegisteredTool] {
    snapshot.withLock { Array(($0.tools[app] ?? [:]).values) }.sorted { $0.name < $1.name }
  }
  func tool(_ name: ToolName, of app: AppID) -> RegisteredTool? { snapshot.withLock { $0.tools[app]?[name] } }
  /// Every tool of the MAS that is offered as it was approved.
  func pinnedTools(of mas: MASID) -> [ToolName] {
    snapshot.withLock { snapshot in
      var names: [ToolName] = []
      for app in snapshot.apps.values where app.masID == mas {
        for tool in (snapshot.tools[app.id] ?? [:]).values where tool.isPinned { names.append(tool.name) }
      }
      return names
    }.sorted()
  }

  // MARK: Systems

  /// - Parameter owner: what declared it outside the runtime. A second MAS of the same owner is refused.
  public func createMAS(
    name: Name, owner: ExternalOwner? = nil, settings: MAS.Settings
  ) async throws(RegistryError) -> MAS {
    let now = clock.now()
    let mas = MAS(id: .random(prefix: "mas"), name: name, createdAt: now, owner: owner, settings: settings)
    try await write(conflict: "a MAS of this name or owner exists; its settings are changed with PUT /mas/{id}") {
      () throws(RegistryError) in
      let unit = [
        Statement(
          """
          INSERT INTO mas (id, name, owner, configuration, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
          """,
          [
            .text(mas.id.rawValue), .text(name.text), .optional(owner?.text),
            .text(JSONValue.object(settings.json).canonicalText), .integer(now.milliseconds),
            .integer(now.milliseconds),
          ], expectedChanges: 1),
        self.change("mas_created", mas: mas.id, app: nil, mas.json),
      ]
      return (unit, { $0.systems[mas.id] = mas })
    }
    return mas
  }

  public func updateMAS(_ id: MASID, settings: MAS.Settings) async throws(RegistryError) -> MAS {
    try await write {
      () throws(RegistryError) in
      guard var mas = self.mas(id) else { throw .notFound("MAS \(id)") }
      mas.settings = settings
      let changed = mas
      let unit = [
        Statement(
          "UPDATE mas SET configuration = $1, updated_at = $2 WHERE id = $3",
          [
            .text(JSONValue.object(settings.json).canonicalText), .integer(self.clock.now().milliseconds),
            .text(id.rawValue),
          ], expectedChanges: 1),
        self.change("mas_changed", mas: id, app: nil, changed.json),
      ]
      return (unit, { $0.systems[id] = changed })
    }
    guard let mas = mas(id) else { throw .notFound("MAS \(id)") }
    return mas
  }

  public func deleteMAS(_ id: MASID) async throws(RegistryError) {
    try await write {
      () throws(RegistryError) in
      guard let mas = self.mas(id) else { throw .notFound("MAS \(id)") }
      guard self.apps(of: id).isEmpty else { throw .conflict("MAS \(mas.name) still has apps; delete them first") }
      let unit = [
        Statement("DELETE FROM mas WHERE id = $1", [.text(id.rawValue)], expectedChanges: 1),
        self.change("mas_deleted", mas: id, app: nil, mas.json),
      ]
      return (unit, { $0.systems[id] = nil })
    }
  }

  // MARK: Apps

  /// Registers an app.
  /// - Parameters:
  ///   - jwks: public keys for `private_key_jwt`; the app then gets no secret.
  /// - Returns: the app and its secret, which can't be shown again.
  public func createApp(
    in masID: MASID, name: Name, kind: AppKind, settings: App.Settings, jwks: JSONValue?
  ) async throws(RegistryError) -> (App, ClientSecret?) {
    guard Name(app: name.text) != nil else { throw .invalid(InvalidField("name", expected: Name.expectedOfApp)) }
    if kind == .mcpServer, settings.baseURL == nil {
      throw .invalid(
        InvalidField("base_url", expected: "the URL of the MCP server's endpoint, such as http://host/mcp"))
    }
    let secret = jwks == nil ? ClientSecret.generate() : nil
    let now = clock.now()
    let app = App(
      id: .random(prefix: "app"), masID: masID, name: name, kind: kind, createdAt: now, settings: settings,
      secret: secret?.hashed(), jwks: jwks)
    try await write(
      conflict: "an app named \(name) exists in this MAS; change it with PUT /apps/{id} or rotate its secret"
    ) { () throws(RegistryError) in
      guard self.mas(masID) != nil else { throw .notFound("MAS \(masID)") }
      let unit = [
        Statement(
          """
          INSERT INTO apps (id, mas_id, name, kind, configuration, secret_salt, secret_hash, jwks, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
          """,
          [
            .text(app.id.rawValue), .text(masID.rawValue), .text(name.text), .text(kind.rawValue),
            .text(JSONValue.object(settings.json).canonicalText), .optional(app.secret?.salt),
            .optional(app.secret?.hash), .optional(jwks?.canonicalText), .integer(now.milliseconds),
            .integer(now.milliseconds),
          ], expectedChanges: 1),
        self.change("app_created", mas: masID, app: app.id, app.json),
      ]
      return (unit, { $0.set(app) })
    }
    return (app, secret)
  }

  /// - Parameter jwks: nil leaves the keys as they are.
  /// - Throws: `RegistryError` when there is no such app, an MCP server is left without a URL, or nothing can be stored.
  public func updateApp(_ id: AppID, settings: App.Settings, jwks: JSONValue?) async throws(RegistryError) -> App {
    // Only what is changed is written: of the rest another runtime may know something newer.
    try await updateApp(id, event: "app_changed") { app in
      app.settings = settings
      if let jwks { app.jwks = jwks }
      return (
        "configuration = $1, jwks = COALESCE($2, jwks)",
        [.text(JSONValue.object(settings.json).canonicalText), .optional(jwks?.canonicalText)]
      )
    }
  }

  /// Replaces the app's secret; the one before is refused from then on.
  /// - Throws: `RegistryError` when there is no such app, or nothing can be stored.
  public func rotateSecret(of id: AppID) async throws(RegistryError) -> (App, ClientSecret) {
    let secret = ClientSecret.generate()
    let hashed = secret.hashed()
    let app = try await updateApp(id, event: "client_secret_rotated") { app in
      app.secret = hashed
      return ("secret_salt = $1, secret_hash = $2", [.optional(hashed.salt), .optional(hashed.hash)])
    }
    return (app, secret)
  }

  /// - Parameter change: changes the app, and says which two columns that are.
  private func updateApp(
    _ id: AppID, event: String,
    _ change: @escaping @Sendable (inout App) -> (columns: String, values: [SQLValue])
  ) async throws(RegistryError) -> App {
    try await write {
      () throws(RegistryError) in
      guard var app = self.app(id) else { throw .notFound("app \(id)") }
      let (columns, values) = change(&app)
      let changed = app
      if changed.kind == .mcpServer, changed.settings.baseURL == nil {
        throw .invalid(InvalidField("base_url", expected: "the URL of the MCP server's endpoint"))
      }
      let unit = [
        Statement(
          "UPDATE apps SET \(columns), updated_at = $3 WHERE id = $4",
          values + [.integer(self.clock.now().milliseconds), .text(id.rawValue)], expectedChanges: 1),
        self.change(event, mas: changed.masID, app: id, changed.json),
      ]
      return (unit, { $0.set(changed) })
    }
    guard let app = app(id) else { throw .notFound("app \(id)") }
    return app
  }

  public func deleteApp(_ id: AppID) async throws(RegistryError) {
    try await write {
      () throws(RegistryError) in
      guard let app = self.app(id) else { throw .notFound("app \(id)") }
      let unit = [
        Statement("DELETE FROM tools WHERE app_id = $1", [.text(id.rawValue)]),
        Statement("DELETE FROM apps WHERE id = $1", [.text(id.rawValue)], expectedChanges: 1),
        self.change("app_deleted", mas: app.masID, app: id, app.json),
      ]
      return (unit, { $0.remove(app) })
    }
  }

  // MARK: Tools

  /// Takes in what a server lists now. The first listing of a server is approved as it is; whatever changes or
  /// is added later has to be approved by an administrator.
  /// - Returns: the server's tools after it.
  func recordListing(of id: AppID, _ listed: [MCPToolDefinition]) async throws(RegistryError) -> [RegisteredTool] {
    try await write {
      () throws(RegistryError) in
      guard let app = self.app(id) else { throw .notFound("app \(id)") }
      let known = Dictionary(uniqueKeysWithValues: self.tools(of: id).map { ($0.name, $0) })
      let elsewhere = self.toolsOffered(in: app.masID, except: id)
      let now = self.clock.now()
      var after: [ToolName: RegisteredTool] = [:]
      for definition in listed {
        let before = known[definition.name]
        // A name that another server of the MAS offers is never approved by itself: it could stand in for it. Nor
        // does an approval outlast a withdrawal during which another server took the name.
        let isTaken = elsewhere.contains(definition.name)
        let pin: String? =
          if known.isEmpty {
            isTaken ? nil : definition.digest
          } else {
            isTaken && before?.seenSHA256 == nil ? nil : before?.pinnedSHA256
          }
        after[definition.name] = RegisteredTool(
          app: id, name: definition.name, definition: definition.definition,
          pinnedDefinition: pin == nil
            ? nil : pin == definition.digest ? definition.definition : before?.pinnedDefinition,
          pinnedSHA256: pin, seenSHA256: definition.digest, checkedAt: now)
      }
      for (name, tool) in known where after[name] == nil {
        after[name] = RegisteredTool(
          app: id, name: name, definition: tool.definition, pinnedDefinition: tool.pinnedDefinition,
          pinnedSHA256: tool.pinnedSHA256, seenSHA256: nil, checkedAt: now)
      }
      let changed = after.values.filter { tool in
        known[tool.name]?.seenSHA256 != tool.seenSHA256 || known[tool.name] == nil
      }
      let result = after
      var unit = changed.map(\.upsert)
      if !changed.isEmpty {
        unit.append(
          TraceLog.insertion(
            of: TraceEvent(
              .toolsDiscovered, at: now, masID: app.masID, appID: id,
              payload: ["tools": .array(changed.sorted { $0.name < $1.name }.map(\.summary))])))
      }
      return (unit, { $0.tools[id] = result })
    }
    return tools(of: id)
  }

  /// Approves the definitions with these hashes as the server lists them now.
  /// - Parameter digests: the hash the administrator looked at, by tool, so that a change in between is not
  ///   approved unseen.
  public func approveTools(_ digests: [ToolName: String], of id: AppID) async throws(RegistryError) -> [RegisteredTool]
  {
    try await write {
      () throws(RegistryError) in
      guard let app = self.app(id) else { throw .notFound("app \(id)") }
      let elsewhere = self.toolsOffered(in: app.masID, except: id)
      var approved: [RegisteredTool] = []
      for (name, digest) in digests {
        guard let tool = self.tool(name, of: id) else { throw .notFound("tool \(name)") }
        guard tool.seenSHA256 == digest else {
          throw .conflict("tool \(name) is not listed with that definition now; look at it again")
        }
        guard !elsewhere.contains(name) else {
          throw .conflict("another server of the MAS offers \(name) already; rename one of the two")
        }
        approved.append(
          RegisteredTool(
            app: id, name: name, definition: tool.definition, pinnedDefinition: tool.definition,
            pinnedSHA256: digest, seenSHA256: digest, checkedAt: tool.checkedAt))
      }
      let changed = approved
      let unit =
        changed.map(\.upsert) + [
          TraceLog.insertion(
            of: TraceEvent(
              .toolsApproved, at: self.clock.now(), masID: app.masID, appID: id,
              payload: ["tools": .array(changed.map(\.summary))]))
        ]
      return (unit, { for tool in changed { $0.tools[id]?[tool.name] = tool } })
    }
    return tools(of: id)
  }

  private func toolsOffered(in mas: MASID, except app: AppID) -> Set<ToolName> {
    var names: Set<ToolName> = []
    for other in apps(of: mas) where other.id != app {
      for tool in tools(of: other.id) where tool.seenSHA256 != nil { names.insert(tool.name) }
    }
    return names
  }

  // MARK: Nodes

  /// Registers a node.
  /// - Returns: the node and its secret, which can't be shown again.
  public func createNode(name: NodeName) async throws(RegistryError) -> (Node, ClientSecret) {
    let secret = ClientSecret.generate()
    let now = clock.now()
    let node = Node(id: .random(prefix: "node"), name: name, createdAt: now, secret: secret.hashed())
    try await write(conflict: "a node named \(name) exists; replace its secret with POST /nodes/{id}/secret") {
      () throws(RegistryError) in
      let unit = [
        Statement(
          """
          INSERT INTO nodes (id, name, secret_salt, secret_hash, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6)
          """,
          [
            .text(node.id.rawValue), .text(name.text), .text(node.secret.salt), .text(node.secret.hash),
            .integer(now.milliseconds), .integer(now.milliseconds),
          ], expectedChanges: 1),
        self.change("node_created", mas: nil, app: nil, node.json),
      ]
      return (unit, { $0.nodes[node.id] = node })
    }
    return (node, secret)
  }

  /// Replaces the node's secret; the one before is refused from then on.
  public func rotateSecret(of id: NodeID) async throws(RegistryError) -> (Node, ClientSecret) {
    let secret = ClientSecret.generate()
    let hashed = secret.hashed()
    try await write {
      () throws(RegistryError) in
      guard var node = self.node(id) else { throw .notFound("node \(id)") }
      node.secret = hashed
      let changed = node
      let unit = [
        Statement(
          "UPDATE nodes SET secret_salt = $1, secret_hash = $2, updated_at = $3 WHERE id = $4",
          [
            .text(hashed.salt), .text(hashed.hash), .integer(self.clock.now().milliseconds), .text(id.rawValue),
          ], expectedChanges: 1),
        self.change("node_secret_rotated", mas: nil, app: nil, changed.json),
      ]
      return (unit, { $0.nodes[id] = changed })
    }
    guard let node = node(id) else { throw .notFound("node \(id)") }
    return (node, secret)
  }

  /// What the node reported stays.
  public func deleteNode(_ id: NodeID) async throws(RegistryError) {
    try await write {
      () throws(RegistryError) in
      guard let node = self.node(id) else { throw .notFound("node \(id)") }
      let unit = [
        Statement("DELETE FROM nodes WHERE id = $1", [.text(id.rawValue)], expectedChanges: 1),
        self.change("node_deleted", mas: nil, app: nil, node.json),
      ]
      return (unit, { $0.nodes[id] = nil })
    }
  }

  // MARK: Readers

  /// Registers somebody who may read traces.
  /// - Parameter json: `mas_ids` (null for all systems) and `reads_prompts` (false).
  /// - Returns: the reader and its secret, which can't be shown again.
  public func createReader(name: Name, json: JSONValue) async throws(RegistryError) -> (Reader, ClientSecret) {
    let secret = ClientSecret.generate()
    let now = clock.now()
    let reader: Reader
    do {
      reader = try Reader(
        id: .random(prefix: "reader"), name: name, createdAt: now, json: json, secret: secret.hashed())
    } catch {
      throw .invalid(error)
    }
    try await write(conflict: "a reader named \(name) exists; delete it to make a new credential") {
      () throws(RegistryError) in
      for system in reader.systems ?? [] where self.mas(system) == nil { throw .notFound("MAS \(system)") }
      let unit = [
        Statement(
          """
          INSERT INTO readers (id, name, secret_salt, secret_hash, configuration, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7)
          """,
          [
            .text(reader.id.rawValue), .text(name.text), .text(reader.secret.salt), .text(reader.secret.hash),
            .text(JSONValue.object(reader.configuration).canonicalText), .integer(now.milliseconds),
            .integer(now.milliseconds),
          ], expectedChanges: 1),
        self.change("reader_created", mas: nil, app: nil, reader.json),
      ]
      return (unit, { $0.readers[reader.id] = reader })
    }
    return (reader, secret)
  }

  public func deleteReader(_ id: ReaderID) async throws(RegistryError) {
    try await write {
      () throws(RegistryError) in
      guard let reader = self.reader(id) else { throw .notFound("reader \(id)") }
      let unit = [
        Statement("DELETE FROM readers WHERE id = $1", [.text(id.rawValue)], expectedChanges: 1),
        self.change("reader_deleted", mas: nil, app: nil, reader.json),
      ]
      return (unit, { $0.readers[id] = nil })
    }
  }

  // MARK: Writing

  private typealias Write = (unit: [Statement], apply: @Sendable (inout Snapshot) -> Void)

  /// Carries out one write after the other: what `prepare` sees is what it changes. Memory follows the storage,
  /// never the other way.
  private func write(
    conflict: String = "the change contradicts what is stored",
    _ prepare: @escaping @Sendable () throws(RegistryError) -> Write
  ) async throws(RegistryError) {
    try await writes.run { [self] () async throws(RegistryError) in
      let (unit, apply) = try prepare()
      do throws(StorageError) {
        if !unit.isEmpty { try await storage.commit(unit) }
      } catch .conflict {
        throw .conflict(conflict)
      } catch {
        throw .storage(error)
      }
      snapshot.withLock { apply(&$0) }
    }
  }

  private func change(_ what: String, mas: MASID?, app: AppID?, _ state: JSONValue) -> Statement {
    TraceLog.insertion(
      of: TraceEvent(
        .configurationChanged, at: clock.now(), masID: mas, appID: app,
        payload: ["change": .string(what), "state": state]))
  }
}

extension Registry: TraceDirectory {
  public func systemName(_ id: MASID) -> String? { mas(id)?.name.text }
  public func appName(_ id: AppID) -> (name: String, kind: AppKind)? { app(id).map { ($0.name.text, $0.kind) } }
  public func appsByName(of system: MASID?) -> [(id: AppID, name: String, kind: AppKind, system: MASID)] {
    apps(of: system).map { ($0.id, $0.name.text, $0.kind, $0.masID) }
  }
  public func systemNames() -> [(id: MASID, name: String)] { systems().map { ($0.id, $0.name.text) } }
}
