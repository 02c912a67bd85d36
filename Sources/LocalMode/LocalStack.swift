import AsyncHTTPClient
public import CASACore
import Foundation
public import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
public import ServiceLifecycle
import Sidecar

/// Everything CASA needs on one machine around a system's apps: the runtime, the authorization service and an Envoy
/// for each app, every one a process of its own, so that none can reach into another's secrets.
public struct LocalStack: Service {
  /// The system as it runs.
  public struct Running: Sendable {
    public let runtimeURL: String
    public let adminCredentialPath: String
    public let apps: [Name: AppID]
    let system: LocalSystem
    let files: SystemFiles
    let administration: RuntimeAdministration
  }

  private static let startTimeout = Duration.seconds(20)

  private let system: LocalSystem
  private let files: SystemFiles
  private let executable: String
  private let logger: Logger
  private let onReady: @Sendable (Running) async throws -> Void

  /// - Parameters:
  ///   - directory: where everything is kept; made when it is missing.
  ///   - executable: the program `casa`.
  ///   - onReady: called when every part answers; when it returns, the system goes on until a graceful shutdown.
  public init(
    system: LocalSystem, directory: String, executable: String, logger: Logger,
    onReady: @escaping @Sendable (Running) async throws -> Void = { _ in }
  ) {
    self.system = system
    files = SystemFiles(directory: directory)
    self.executable = executable
    self.logger = logger
    self.onReady = onReady
  }

  /// Runs until a graceful shutdown, then ends the parts in the order in which they need each other.
  public func run() async throws {
    try await withStack { running in
      try await onReady(running)
      try? await gracefulShutdown()
    }
  }

  /// Runs the system for as long as `body` does.
  public func withStack(_ body: @Sendable (Running) async throws -> Void) async throws {
    let http = HTTPClient(eventLoopGroupProvider: .singleton)
    let result: Result<Void, any Error>
    do {
      try await start(http, body)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try await http.shutdown()
    try result.get()
  }

  private func start(_ http: HTTPClient, _ body: @Sendable (Running) async throws -> Void) async throws {
    try files.prepare(apps: system.apps.map(\.name.text))
    let authorization = files.authorization(of: system)
    if case .unix(let path) = authorization, ListenAddress("unix:" + path) == nil {
      throw LocalModeError("\(path) is too long for a socket; set `authorization`, or choose a shorter folder")
    }
    let runtimeURL = "http://\(system.runtime)"
    try await running([part("runtime", ["--data", files.runtimeData, "--listen", system.runtime.description])]) {
      try await waitUntil("the runtime answers at \(runtimeURL)", log: "runtime") {
        await answers(http, runtimeURL + "/readyz")
      }
      guard let credential = SystemFiles.read(files.adminCredential) else {
        throw LocalModeError("\(files.adminCredential) can't be read")
      }
      let administration = RuntimeAdministration(http: http, baseURL: runtimeURL, credential: credential)
      let ids = try await Registration(system: system, files: files, runtime: administration).carryOut()
      let workloads = system.apps.map { files.app($0.name.text).workload }
      try await running([part("authorize", workloads)]) {
        try await waitUntil("the authorization service answers at \(authorization)", log: "authorize") {
          await accepts(authorization)
        }
        try await running(sidecars) {
          for app in system.apps {
            let socket = files.app(app.name.text).envoyAdminSocket
            let url = URL(httpURLWithSocketPath: socket, uri: "/ready")?.absoluteString ?? ""
            try await waitUntil("the sidecar of \(app.name) is ready", log: "sidecar-\(app.name)") {
              await answers(http, url)
            }
          }
          try await body(
            Running(
              runtimeURL: runtimeURL, adminCredentialPath: files.adminCredential, apps: ids, system: system,
              files: files, administration: administration))
        }
      }
    }
  }

  // MARK: Parts

  private func part(_ command: String, _ arguments: [String]) -> SupervisedProcess {
    SupervisedProcess(
      executable: executable, arguments: [command] + arguments, log: files.log(command), logger: logger)
  }

  private var sidecars: [SupervisedProcess] {
    system.apps.map { app in
      let paths = files.app(app.name.text)
      return SupervisedProcess(
        executable: executable,
        arguments: [
          "sidecar", paths.workload, "--directory", paths.envoy, "--access-log", files.log("access-\(app.name)"),
        ], log: files.log("sidecar-\(app.name)"), logger: logger)
    }
  }

  /// Keeps `processes` running while `body` does.
  private func running(
    _ processes: [SupervisedProcess], _ body: @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for process in processes { group.addTask { await process.keepRunning() } }
      defer { group.cancelAll() }
      try await body()
    }
  }

  // MARK: Waiting

  private func waitUntil(_ what: String, log: String, _ condition: @Sendable () async -> Bool) async throws {
    try await LocalMode.waitUntil("\(what); see \(files.log(log))", within: Self.startTimeout, condition)
  }

  private func answers(_ http: HTTPClient, _ url: String) async -> Bool {
    var request = HTTPClientRequest(url: url)
    // Of a socket's path the client makes a `Host` that a server refuses.
    request.headers.add(name: "host", value: "localhost")
    let response = try? await http.execute(request, timeout: .seconds(1))
    return response?.status == .ok
  }

  private func accepts(_ address: ListenAddress) async -> Bool {
    let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connectTimeout(.seconds(1))
    let channel: (any Channel)?
    switch address {
    case .unix(let path): channel = try? await bootstrap.connect(unixDomainSocketPath: path).get()
    case .tcp(let host, let port): channel = try? await bootstrap.connect(host: host, port: port).get()
    }
    try? await channel?.close()
    return channel != nil
  }
}
