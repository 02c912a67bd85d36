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
      if let entrance = app.entrance { lines.append("  \(app.name) is called at \(entrance.url)") }
      for call in app.calls {
        switch call.destination {
        case .app(let name):
          let path = system.apps.first { $0.name == name }?.entrance?.app.path ?? "/"
          lines.append("  \(app.name) calls \(name) at http://\(call.listen)\(path)")
        case .llm(let endpoint, _): lines.append("  \(app.name) calls the LLM at http://\(call.listen)\(endpoint.path)")
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  /// One line for machines.
  public var json: String {
    let ids = Dictionary(uniqueKeysWithValues: apps.map { ($0.key.text, JSONValue.string($0.value.rawValue)) })
    let value: JSONValue = [
      "runtime": .string(runtimeURL), "admin_credential_file": .string(adminCredentialPath),
      "directory": .string(files.directory), "apps": .object(ids),
    ]
    return value.canonicalText
  }
}
