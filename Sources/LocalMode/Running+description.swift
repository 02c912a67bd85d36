import AgentProtocols
import CASACore
import Sidecar

extension LocalStack.Running {
  /// For people.
  public var text: String {
    var lines = [
      "ready", "  runtime \(runtimeURL)  (administrator's credential: \(adminCredentialPath))",
    ]
    for app in system.apps {
      if let own = app.usersCall { lines.append("  \(app.name) listens at \(own) for its users") }
      if let entrance = app.entrance {
        lines.append("  \(app.name) listens at \(entrance.app) and is called at \(entrance.url)")
      }
      for call in app.calls {
        switch call.destination {
        case .app(let name): lines.append("  \(app.name) calls \(name) at \(url(of: call) ?? "")")
        case .llm: lines.append("  \(app.name) calls the LLM at \(url(of: call) ?? "")")
        }
      }
    }
    for app in system.apps {
      guard let launch = launches[app.name] else { continue }
      let joins = launch.cgroup == nil ? "" : ", in its cgroup"
      lines.append("start \(app.name)\(joins): casa run --directory \(files.directory) \(app.name) -- COMMAND")
      lines += launch.exports.map { "  " + $0 }
    }
    return lines.joined(separator: "\n")
  }

  /// One line for machines.
  public var json: String {
    let ids = Dictionary(uniqueKeysWithValues: apps.map { ($0.key.text, JSONValue.string($0.value.rawValue)) })
    let ways = Dictionary(uniqueKeysWithValues: system.apps.map { ($0.name.text, addresses(of: $0)) })
    let starts = Dictionary(uniqueKeysWithValues: launches.map { ($0.key.text, $0.value.json) })
    let value: JSONValue = [
      "runtime": .string(runtimeURL), "admin_credential_file": .string(adminCredentialPath),
      "directory": .string(files.directory), "apps": .object(ids), "endpoints": .object(ways),
      "launch": .object(starts),
    ]
    return value.canonicalText
  }

  private func addresses(of app: LocalSystem.App) -> JSONValue {
    var members: [String: JSONValue] = [:]
    members["listens_at"] = (app.entrance?.app ?? app.usersCall).map { .string($0.description) }
    members["called_at"] = app.entrance.map { .string($0.url) }
    var calls: [String: JSONValue] = [:]
    for call in app.calls {
      let url = url(of: call).map(JSONValue.string)
      switch call.destination {
      case .app(let name): calls[name.text] = url
      case .llm: members["llm"] = url
      }
    }
    members["calls"] = .object(calls)
    return .object(members)
  }

  /// What the app calls: its sidecar, with the destination's path.
  private func url(of call: LocalSystem.Call) -> String? {
    switch call.destination {
    case .app(let name):
      system.apps.first { $0.name == name }?.entrance.map { "http://\(call.listen)\($0.app.path)" }
    case .llm(let endpoint, _): "http://\(call.listen)\(endpoint.path)"
    }
  }
}
