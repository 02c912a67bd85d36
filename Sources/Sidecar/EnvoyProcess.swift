import Foundation
public import Logging
import PrivateFiles
public import ServiceLifecycle

/// Runs a real Envoy with a bootstrap, and again whenever it dies.
public struct EnvoyProcess: Service {
  private let executable: String
  private let bootstrap: EnvoyBootstrap
  private let directory: String
  private let concurrency: Int
  private let logger: Logger
  /// Whether Envoy runs.
  public let state = ProcessState()

  /// - Parameters:
  ///   - directory: where the bootstrap is written, readable by its owner only.
  ///   - concurrency: Envoy's worker threads, 1 or more.
  public init(
    executable: String, bootstrap: EnvoyBootstrap, directory: String, concurrency: Int = 1, logger: Logger
  ) {
    self.executable = executable
    self.bootstrap = bootstrap
    self.directory = directory
    self.concurrency = concurrency
    self.logger = logger
  }

  /// Finds Envoy: `CASA_ENVOY`, then the PyPI wheel in `./.venv`, then the search path.
  public static func locate(environment: [String: String]? = nil) -> String? {
    let environment = environment ?? ProcessInfo.processInfo.environment
    if let named = environment["CASA_ENVOY"] {
      return FileManager.default.isExecutableFile(atPath: named) ? named : nil
    }
    // The wheel's `bin/envoy` is a script; signals must reach the program itself.
    let libraries = ".venv/lib"
    for version in (try? FileManager.default.contentsOfDirectory(atPath: libraries)) ?? [] {
      let path = "\(libraries)/\(version)/site-packages/envoy/_bin/envoy"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    for folder in (environment["PATH"] ?? "").split(separator: ":") {
      let path = "\(folder)/envoy"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    return nil
  }

  /// Runs until the task is cancelled or a graceful shutdown begins.
  public func run() async throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let path = directory + "/envoy.json"
    try PrivateFile.write(bootstrap.text, to: path)
    try await SupervisedProcess(
      executable: executable,
      arguments: [
        "-c", path, "--concurrency", String(concurrency), "--use-dynamic-base-id", "--disable-hot-restart",
        "--log-level", "warning",
      ], environment: DynamicModuleFilter.searchPath(), state: state, logger: logger
    ).run()
  }
}
