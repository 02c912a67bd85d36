import Foundation
import PrivateFiles
import Sidecar

/// Where a local system keeps its files: one folder, readable by its owner only.
struct SystemFiles: Sendable {
  /// Absolute.
  let directory: String

  init(directory: String) { self.directory = URL(fileURLWithPath: directory).standardizedFileURL.path }

  var runtimeData: String { directory + "/runtime" }
  var adminCredential: String { runtimeData + "/admin-credential" }

  /// Where the authorization service listens: where the system says, or on a socket among these files.
  func authorization(of system: LocalSystem) -> ListenAddress {
    system.authorization ?? .unix(path: directory + "/authorization.sock")
  }

  var llmAPIKey: String { directory + "/llm-api-key" }
  /// What the node guard has.
  var nodePolicy: String { directory + "/node/policy.json" }
  var nodeState: String { directory + "/node/state" }
  var nodeSecret: String { directory + "/node/secret" }

  func app(_ name: String) -> AppFiles { AppFiles(directory: directory + "/apps/" + name) }
  func log(_ name: String) -> String { directory + "/logs/" + name + ".log" }

  struct AppFiles: Sendable {
    let directory: String
    var workload: String { directory + "/workload.yaml" }
    var clientSecret: String { directory + "/client-secret" }
    var sidecarKey: String { directory + "/sidecar-key" }
    var envoy: String { directory + "/envoy" }
    /// See `AppLaunch`.
    var launch: String { directory + "/launch.json" }
    var envoyAdminSocket: String { envoy + "/admin.sock" }
  }

  /// - Throws: `LocalModeError`
  func prepare(apps: [String]) throws(LocalModeError) {
    for path in [directory, directory + "/logs", directory + "/node"] + apps.map({ app($0).envoy }) {
      do {
        try FileManager.default.createDirectory(
          atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      } catch {
        throw LocalModeError("the folder \(path) can't be made: \(error.localizedDescription)")
      }
    }
  }

  /// Writes a file that its owner alone can read.
  /// - Throws: `LocalModeError`
  static func write(_ text: String, to path: String) throws(LocalModeError) {
    do throws(PrivateFileError) {
      try PrivateFile.write(text, to: path)
    } catch {
      throw LocalModeError(error.description)
    }
  }

  static func read(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).flatMap { String(data: $0, encoding: .utf8) }?
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
