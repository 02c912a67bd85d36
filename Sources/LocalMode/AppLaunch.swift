import AgentProtocols
public import CASACore
import Foundation
import Sidecar

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How an app is started so that it finds its sidecar, and the kernel knows whose it is. `casa up` writes it into the
/// app's folder, and removes it when nothing enforces any more what it says.
public struct AppLaunch: Sendable, Hashable {
  /// What tells the app its sidecar's addresses.
  public let environment: [String: String]
  /// The folder of the app's cgroup; nil without a node guard.
  public let cgroup: String?

  init(environment: [String: String], cgroup: String?) {
    self.environment = environment
    self.cgroup = cgroup
  }

  /// - Parameter app: of `system`.
  init(of app: LocalSystem.App, in system: LocalSystem, guarded: LocalNodeGuard?) {
    var environment: [String: String] = [:]
    for call in app.calls {
      switch call.destination {
      case .app(let name):
        let path = system.apps.first { $0.name == name }?.entrance?.app.path ?? "/"
        let suffix = name.text.uppercased().replacing("-", with: "_")
        environment["CASA_URL_\(suffix)"] = "http://\(call.listen)\(path)"
      case .llm(let endpoint, let keyFile):
        // What the SDKs read.
        environment["OPENAI_BASE_URL"] = "http://\(call.listen)\(endpoint.path)"
        // They ask for a key before they ask anything, and the developer's own is none of the app's business.
        if keyFile != nil { environment["OPENAI_API_KEY"] = "kept-by-the-sidecar" }
      }
    }
    self.init(environment: environment, cgroup: guarded?.folder(of: app.name))
  }

  /// In the order of their names.
  public var exports: [String] {
    environment.sorted { $0.key < $1.key }.map { "export \($0.key)=\($0.value)" }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = ["environment": .object(environment.mapValues(JSONValue.string))]
    members["cgroup"] = cgroup.map(JSONValue.string)
    return .object(members)
  }

  /// Reads what `casa up` wrote.
  /// - Parameter directory: that of `casa up`.
  /// - Throws: `LocalModeError` that says how to make it be there.
  public static func load(_ app: Name, directory: String) throws(LocalModeError) -> AppLaunch {
    let files = SystemFiles(directory: directory)
    guard let text = SystemFiles.read(files.app(app.text).launch), let json = try? JSONValue(parsing: Array(text.utf8)),
      let environment = json["environment"]?.object
    else {
      throw LocalModeError(
        "\(files.directory) has no running app \(app); check the name, and start `casa up` with this --directory first,"
          + " as this user")
    }
    return AppLaunch(environment: environment.compactMapValues(\.string), cgroup: json["cgroup"]?.string)
  }

  /// Moves this process into the app's cgroup and gives it the environment; what it runs from then on is the app.
  /// - Throws: `LocalModeError`; then the process must not go on.
  public func enter() throws(LocalModeError) {
    if let cgroup {
      let path = cgroup + "/cgroup.procs"
      let file = open(path, O_WRONLY | O_CLOEXEC)
      // 0 is the process that writes.
      guard file >= 0, write(file, "0", 1) == 1 else {
        throw LocalModeError(
          "this process can't join \(path): \(String(cString: strerror(errno))); the app was not started unguarded")
      }
      close(file)
    }
    for (name, value) in environment { setenv(name, value, 1) }
  }
}
