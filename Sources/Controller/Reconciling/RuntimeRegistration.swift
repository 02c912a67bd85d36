import Administration
import CASACore
import CustomResources
import IntentChecks
import NIOHTTP1
import Synchronization

/// Makes the runtime know a cluster's systems and their apps, and forget those that are gone.
///
/// What the runtime holds is read as a whole now and then, and kept up with its answers in between. Each system carries
/// its object's name and uid as its owner, so what a process made before it died is found again.
final class RuntimeRegistration: Sendable {
  private let runtime: RuntimeAdministration
  /// Tells this cluster's objects from those of another one that shares the runtime.
  private let cluster: String
  private let known = Mutex(Known())

  private struct Known {
    private(set) var systems: [String: RegisteredSystem] = [:]
    private var changes: [String: Int] = [:]
    private(set) var count = 0

    subscript(owner: String) -> RegisteredSystem? {
      get { systems[owner] }
      set {
        count += 1
        changes[owner] = count
        systems[owner] = newValue
      }
    }

    /// Takes what was read in the place of all but what changed since `count` was what it was when reading began.
    mutating func take(_ read: [String: RegisteredSystem], asOf count: Int) {
      for owner in Set(systems.keys).union(read.keys) where (changes[owner] ?? 0) <= count {
        systems[owner] = read[owner]
        changes[owner] = nil
      }
    }
  }

  init(runtime: RuntimeAdministration, cluster: String) {
    self.runtime = runtime
    self.cluster = cluster
  }

  private var prefix: String { "kubernetes:\(cluster):" }

  func owner(of metadata: ObjectMetadata) -> String { "\(prefix)\(metadata.reference):\(metadata.uid ?? "")" }

  /// Reads what the runtime holds of this cluster.
  func refresh() async throws(RuntimeFailure) {
    let count = known.withLock { $0.count }
    var systems: [MASID: RegisteredSystem] = [:]
    for json in try await runtime.send(.GET, "/mas")["mas"]?.array ?? [] {
      let system = try RegisteredSystem(json: json)
      if system.owner?.hasPrefix(prefix) ?? false { systems[system.id] = system }
    }
    for json in try await runtime.send(.GET, "/apps")["apps"]?.array ?? [] {
      guard let id = json["mas_id"]?.string.map({ MASID($0) }), systems[id] != nil, let name = json["name"]?.string
      else { continue }
      systems[id]?.apps[name] = try RegisteredSystem.RegisteredApp(json: json)
    }
    let byOwner = Dictionary(systems.values.map { ($0.owner ?? "", $0) }, uniquingKeysWith: { first, _ in first })
    known.withLock { $0.take(byOwner, asOf: count) }
  }

  /// Owners at the runtime that are none of `owners`.
  func orphans(besides owners: Set<String>) -> [String] {
    known.withLock { known in known.systems.keys.filter { !owners.contains($0) }.sorted() }
  }

  func knows(owner: String) -> Bool { known.withLock { $0[owner] != nil } }

  /// What registering a system came to.
  struct Outcome: Sendable {
    var apps: [Name: AppID] = [:]
    /// Of apps that were just made: nobody else knows them, and the runtime will not tell them again.
    var secrets: [Name: String] = [:]
  }

  /// - Throws: `RuntimeFailure`; `.conflict` when somebody else has the name.
  func register(_ system: ResolvedSystem) async throws(RuntimeFailure) -> Outcome {
    let object = system.object
    let owner = owner(of: object.metadata)
    let settings = try Self.settings(of: object)
    var registered: RegisteredSystem
    let before = known.withLock { $0[owner] }
    switch before {
    case nil:
      var body = settings.object ?? [:]
      body["name"] = .string(object.name.text)
      body["owner"] = .string(owner)
      registered = try RegisteredSystem(json: try await runtime.send(.POST, "/mas", .object(body)))
    case let found? where found.name != object.name.text:
      // Names are for ever at the runtime: another name is another system.
      try await unregister(owner: owner)
      return try await register(system)
    case let found? where found.settings != settings:
      registered = try RegisteredSystem(json: try await runtime.send(.PUT, "/mas/\(found.id)", settings))
      registered.apps = found.apps
    case let found?: registered = found
    }
    known.withLock { $0[owner] = registered }
    var outcome = Outcome()
    for app in system.apps {
      let name = app.app.name
      let (found, secret) = try await register(app, in: registered)
      registered.apps[name.text] = found
      known.withLock { $0[owner]?.apps[name.text] = found }
      outcome.apps[name] = found.id
      outcome.secrets[name] = secret
    }
    let names = Set(system.apps.map(\.app.name.text))
    for (name, app) in registered.apps.sorted(by: { $0.key < $1.key }) where !names.contains(name) {
      try await delete("/apps/\(app.id)")
      known.withLock { _ = $0[owner]?.apps.removeValue(forKey: name) }
    }
    return outcome
  }

  private func register(
    _ resolved: ResolvedApp, in system: RegisteredSystem
  ) async throws(RuntimeFailure) -> (RegisteredSystem.RegisteredApp, secret: String?) {
    let app = resolved.app
    let settings: JSONValue = [
      "base_url": app.entrance.map { .string($0.url) } ?? .null,
      "prompt_json_path": resolved.promptJSONPath.map(JSONValue.string) ?? .null,
      "allowed_methods": .array(app.allowedMethods.map(JSONValue.string)),
    ]
    let found = system.apps[app.name.text]
    if let found, found.kind == app.kind.rawValue {
      guard found.settings != settings else { return (found, nil) }
      return (
        try RegisteredSystem.RegisteredApp(json: try await runtime.send(.PUT, "/apps/\(found.id)", settings)), nil
      )
    }
    if let found { try await delete("/apps/\(found.id)") }
    var body = settings.object ?? [:]
    body["mas_id"] = .string(system.id.rawValue)
    body["name"] = .string(app.name.text)
    body["kind"] = .string(app.kind.rawValue)
    let made = try await runtime.send(.POST, "/apps", .object(body))
    return (try RegisteredSystem.RegisteredApp(json: made), made["client_secret"]?.string)
  }

  /// A new secret of an app; the one before is refused from then on.
  func newSecret(of app: AppID) async throws(RuntimeFailure) -> String {
    guard let secret = try await runtime.send(.POST, "/apps/\(app)/secret", [:])["client_secret"]?.string else {
      throw .unreachable("the runtime's answer holds no secret")
    }
    return secret
  }

  /// Deletes the system and its apps, as far as they are there.
  func unregister(owner: String) async throws(RuntimeFailure) {
    guard let system = known.withLock({ $0[owner] }) else { return }
    for (name, app) in system.apps.sorted(by: { $0.key < $1.key }) {
      try await delete("/apps/\(app.id)")
      known.withLock { _ = $0[owner]?.apps.removeValue(forKey: name) }
    }
    try await delete("/mas/\(system.id)")
    known.withLock { $0[owner] = nil }
  }

  private func delete(_ path: String) async throws(RuntimeFailure) {
    do throws(RuntimeFailure) {
      _ = try await runtime.send(.DELETE, path)
    } catch .notFound {
      // That was the aim.
    }
  }

  /// The settings as the runtime writes them, so that equal ones compare equal.
  static func settings(of system: MultiAgentSystem) throws(RuntimeFailure) -> JSONValue {
    let checks = system.enabledToolChecks ?? Set(CheckName.allCases)
    let intent: IntentPolicy
    do throws(InvalidField) {
      intent = try system.intent.map { (json) throws(InvalidField) in try IntentPolicy(json: json) } ?? IntentPolicy()
    } catch {
      throw .invalid("spec.intent: \(error)")
    }
    return [
      "enabled_tool_checks": .array(checks.map(\.rawValue).sorted().map(JSONValue.string)),
      "allow_undecided": .bool(system.allowUndecided), "intent": intent.json,
    ]
  }
}
