import Administration
import AgentProtocols
import AsyncHTTPClient
public import CASACore
import Foundation
public import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NodeGuard
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
    /// How each app is started.
    public let launches: [Name: AppLaunch]
    let system: LocalSystem
    let files: SystemFiles
    let administration: RuntimeAdministration
  }

  private static let startTimeout = Duration.seconds(20)

  private let system: LocalSystem
  private let nodeGuard: LocalNodeGuard?
  private let files: SystemFiles
  private let executable: String
  private let logger: Logger
  private let onReady: @Sendable (Running) async throws -> Void

  /// - Parameters:
  ///   - nodeGuard: has the kernel hold the apps too; nil for the sidecars alone.
  ///   - directory: where everything is kept; made when it is missing.
  ///   - executable: the program `casa`.
  ///   - onReady: called when every part answers; when it returns, the system goes on until a graceful shutdown.
  public init(
    system: LocalSystem, nodeGuard: LocalNodeGuard? = nil, directory: String, executable: String, logger: Logger,
    onReady: @escaping @Sendable (Running) async throws -> Void = { _ in }
  ) {
    self.system = system
    self.nodeGuard = nodeGuard
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

  /// Keeps the LLM's API key among a system's files, so that its sidecars find it.
  /// - Returns: the file.
  /// - Throws: `LocalModeError`
  public static func keep(llmAPIKey key: String, in directory: String) throws(LocalModeError) -> String {
    let files = SystemFiles(directory: directory)
    try files.prepare(apps: [])
    try SystemFiles.write(key + "\n", to: files.llmAPIKey)
    return files.llmAPIKey
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
        throw LocalModeError(
          "\(files.adminCredential) can't be read; if another program listens on \(system.runtime), end it, else see"
            + " \(files.log("runtime"))")
      }
      let administration = RuntimeAdministration(http: http, baseURL: runtimeURL, credential: credential)
      let ids = try await Registration(system: system, files: files, runtime: administration).carryOut()
      do {
        let node = try await nodeGuardPart(ids, administration)
        try await running(node.map { [$0] } ?? []) {
          if let nodeGuard { try await waitUntilEnforced(nodeGuard, http) }
          try await withSidecars(http, authorization) {
            let launches = try launches()
            try await body(
              Running(
                runtimeURL: runtimeURL, adminCredentialPath: files.adminCredential, apps: ids, launches: launches,
                system: system, files: files, administration: administration))
          }
        }
      } catch {
        endLaunches()
        throw error
      }
      endLaunches()
    }
  }

  /// The authorization service and the sidecars, for as long as `body` runs.
  private func withSidecars(
    _ http: HTTPClient, _ authorization: ListenAddress, _ body: @Sendable () async throws -> Void
  ) async throws {
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
        try await body()
      }
    }
  }

  private func launches() throws(LocalModeError) -> [Name: AppLaunch] {
    var launches: [Name: AppLaunch] = [:]
    for app in system.apps {
      let launch = AppLaunch(of: app, in: system, guarded: nodeGuard)
      try SystemFiles.write(launch.json.canonicalText + "\n", to: files.app(app.name.text).launch)
      launches[app.name] = launch
    }
    return launches
  }

  // MARK: Node guard

  private func nodeGuardPart(
    _ ids: [Name: AppID], _ runtime: RuntimeAdministration
  ) async throws(LocalModeError) -> SupervisedProcess? {
    guard let nodeGuard else { return nil }
    try nodeGuard.makeCgroups(for: system)
    try SystemFiles.write(nodeGuard.policy(of: system, ids: ids).canonicalText + "\n", to: files.nodePolicy)
    let id = try await registerNode(runtime)
    return part(
      "node",
      [
        "run", "--policy", files.nodePolicy, "--pins", nodeGuard.pins, "--state", files.nodeState, "--cgroups",
        nodeGuard.cgroupRoot, "--metrics", nodeGuard.metrics.description, "--runtime", runtime.baseURL, "--node-id", id,
        "--secret-file", files.nodeSecret,
      ])
  }

  /// This machine as the runtime knows it, so that it believes what the guard saw.
  private func registerNode(_ runtime: RuntimeAdministration) async throws(LocalModeError) -> String {
    let name: JSONValue = "casa-up"
    let known = try await runtime.get("/nodes")["nodes"]?.array?.first { $0["name"] == name }
    if let id = known?["id"]?.string, SystemFiles.read(files.nodeSecret) != nil { return id }
    let node: JSONValue
    if let id = known?["id"]?.string {
      node = try await runtime.post("/nodes/\(id)/secret", [:])
    } else {
      node = try await runtime.post("/nodes", ["name": name])
    }
    guard let id = node["id"]?.string, let secret = node["client_secret"]?.string else {
      throw LocalModeError("the runtime's answer names no node")
    }
    try SystemFiles.write(secret + "\n", to: files.nodeSecret)
    return id
  }

  private func waitUntilEnforced(_ nodeGuard: LocalNodeGuard, _ http: HTTPClient) async throws {
    do {
      // It serves nothing before it enforces.
      try await waitUntil("the kernel enforces the apps' policy", log: "node") {
        await answers(http, "http://\(nodeGuard.metrics)/healthz")
      }
    } catch let error as LocalModeError {
      let last = SystemFiles.read(files.log("node"))?.split(separator: "\n").last ?? "it said nothing"
      throw LocalModeError("\(error.description); the last it said: \(last)")
    }
  }

  /// Nothing is started any more as part of this system. The guard's programs leave the kernel when no app runs that
  /// they hold.
  private func endLaunches() {
    if let nodeGuard {
      let occupied = nodeGuard.occupied(system)
      guard occupied.isEmpty else {
        logger.warning(
          "apps still run, and the kernel goes on holding them; end them, then run `casa node detach` with these --pins",
          metadata: ["pins": "\(nodeGuard.pins)", "apps": "\(occupied.map(\.text).joined(separator: " "))"])
        return
      }
    }
    for app in system.apps { try? FileManager.default.removeItem(atPath: files.app(app.name.text).launch) }
    guard let nodeGuard else { return }
    do {
      try KernelPrograms(pins: PinDirectory(nodeGuard.pins)).detach()
      nodeGuard.removeCgroups(of: system)
    } catch {
      logger.warning(
        "the guard's programs stay in the kernel", metadata: ["pins": "\(nodeGuard.pins)", "why": "\(error)"])
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
