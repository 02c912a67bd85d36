import Administration
import AgentProtocols
import CASACore
import Crypto
import Sidecar

/// Makes the runtime know the system's apps, and writes for each what its sidecar and the authorization service need.
/// Doing it again changes nothing that is as it should be.
struct Registration: Sendable {
  let system: LocalSystem
  let files: SystemFiles
  let runtime: RuntimeAdministration

  /// - Returns: the apps' ids by name.
  func carryOut() async throws(LocalModeError) -> [Name: AppID] {
    let mas = try await masID()
    var known: [String: JSONValue] = [:]
    for app in try await runtime.get("/apps?mas_id=\(mas)")["apps"]?.array ?? [] {
      if let name = app["name"]?.string { known[name] = app }
    }
    var ids: [Name: AppID] = [:]
    for app in system.apps { ids[app.name] = try await register(app, in: mas, known: known[app.name.text]) }
    for app in system.apps {
      guard let id = ids[app.name] else { continue }
      try SystemFiles.write(
        try workload(app, id: id).canonicalText + "\n", to: files.app(app.name.text).workload)
    }
    return ids
  }

  /// What an administrator may change of a MAS.
  private static let settings: Set = ["enabled_tool_checks", "allow_undecided", "intent"]

  private func masID() async throws(LocalModeError) -> String {
    let name = JSONValue.string(system.mas.text)
    let known = try await runtime.get("/mas")["mas"]?.array?.first { $0["name"] == name }
    var settings = (known?.object ?? [:]).filter { Self.settings.contains($0.key) }
    let before = settings
    if let checks = system.checks {
      settings["enabled_tool_checks"] = .array(checks.map(\.rawValue).sorted().map(JSONValue.string))
    }
    if let flag = system.allowUndecided { settings["allow_undecided"] = .bool(flag) }
    if let intent = system.intent { settings["intent"] = intent }
    let mas: JSONValue
    if let known {
      mas =
        settings == before ? known : try await runtime.put("/mas/\(known["id"]?.string ?? "")", .object(settings))
    } else {
      settings["name"] = name
      mas = try await runtime.post("/mas", .object(settings))
    }
    guard let id = mas["id"]?.string else { throw LocalModeError("the runtime's answer names no MAS") }
    return id
  }

  private func register(_ app: LocalSystem.App, in mas: String, known: JSONValue?) async throws(LocalModeError) -> AppID
  {
    var settings: [String: JSONValue] = [
      "base_url": app.entrance.map { .string($0.url) } ?? .null,
      "prompt_json_path": app.promptJSONPath.map(JSONValue.string) ?? .null,
    ]
    let methods = app.allowedMethods.map { JSONValue.array($0.map(JSONValue.string)) }
    if let methods = methods ?? known?["allowed_methods"] { settings["allowed_methods"] = methods }
    let paths = files.app(app.name.text)
    var answer: JSONValue
    if let known {
      guard known["kind"]?.string == app.kind.rawValue, let id = known["id"]?.string else {
        throw LocalModeError(
          "\(app.name) is registered as \(known["kind"]?.string ?? "?"), not as \(app.kind.rawValue); choose another name"
        )
      }
      answer = try await runtime.put("/apps/\(id)", .object(settings))
      if SystemFiles.read(paths.clientSecret) == nil { answer = try await runtime.post("/apps/\(id)/secret", [:]) }
    } else {
      var body = settings
      body["mas_id"] = .string(mas)
      body["name"] = .string(app.name.text)
      body["kind"] = .string(app.kind.rawValue)
      answer = try await runtime.post("/apps", .object(body))
    }
    if let secret = answer["client_secret"]?.string { try SystemFiles.write(secret + "\n", to: paths.clientSecret) }
    if SystemFiles.read(paths.sidecarKey) == nil {
      let key = SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode($0) }
      try SystemFiles.write(key + "\n", to: paths.sidecarKey)
    }
    guard let id = answer["id"]?.string.flatMap({ AppID(validating: $0) }) else {
      throw LocalModeError("the runtime's answer names no app")
    }
    return id
  }

  /// A workload's file; JSON is YAML.
  private func workload(_ app: LocalSystem.App, id: AppID) throws(LocalModeError) -> JSONValue {
    let paths = files.app(app.name.text)
    var egress: [JSONValue] = []
    for call in app.calls {
      var members: [String: JSONValue] = ["listen": .string(call.listen.description)]
      switch call.destination {
      case .app(let name):
        guard let entrance = system.apps.first(where: { $0.name == name })?.entrance else {
          throw LocalModeError("\(app.name) calls \(name), which nobody can call")
        }
        members["destination"] = .string(name.text)
        members["url"] = .string(entrance.url)
      case .llm(let endpoint, let keyFile):
        members["llm"] = true
        members["url"] = .string(endpoint.description)
        members["api_key_file"] = keyFile.map(JSONValue.string)
      }
      egress.append(.object(members))
    }
    var members: [String: JSONValue] = [
      "runtime": .string("http://\(system.runtime)"), "client_id": .string(id.rawValue),
      "client_secret_file": .string(paths.clientSecret), "sidecar_key_file": .string(paths.sidecarKey),
      "authorization": .string(files.authorization(of: system).description), "egress": .array(egress),
      "adapter": .string(app.adapter.rawValue),
    ]
    if let entrance = app.entrance {
      members["ingress"] = ["listen": .string(entrance.listen.description), "app": .string(entrance.app.description)]
    }
    if let path = app.callsPromptJSONPath { members["prompt_json_path"] = .string(path) }
    return .object(members)
  }
}
