import AsyncHTTPClient
import CASACore
import Enforcement
import EventLoopExecution
public import Logging
import NIOCore
import NIOHPACK
import NIOPosix
public import ServiceLifecycle
public import Sidecar

/// The authorization service: answers the Envoys of some workloads.
public struct EnvoyAuthorizationService: Service {
  private let address: ListenAddress
  private let workloads: [Workload]
  /// What it tells of itself.
  public let metrics = AuthorizationMetrics()
  private let logger: Logger
  private let onReady: @Sendable () -> Void

  /// - Parameters:
  ///   - workloads: at least one; all name the same `authorization` address.
  ///   - onReady: called as soon as questions are answered.
  /// - Throws: `ConfigurationError`
  public init(
    workloads: [Workload], logger: Logger, onReady: @escaping @Sendable () -> Void = {}
  ) throws(ConfigurationError) {
    guard let address = workloads.first?.authorization, workloads.allSatisfy({ $0.authorization == address }) else {
      throw ConfigurationError.differentAddresses
    }
    self.address = address
    self.workloads = workloads
    self.logger = logger
    self.onReady = onReady
  }

  /// Of the client that asks the runtime.
  static var clientConfiguration: HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.timeout.connect = RuntimeClient.connectingTimeout
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 32
    // The pool would wait longer after each failure, up to a minute, and recover as late.
    configuration.connectionPool.retryConnectionEstablishment = false
    return configuration
  }

  public func run() async throws {
    // One loop carries the Envoys' connections, the runtime's and the work between them, so that a question never
    // changes threads on its way to an answer.
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let http = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: Self.clientConfiguration)
    let result: Result<Void, any Error>
    do {
      try await withTaskExecutorPreference(EventLoopTaskExecutor(group.next())) { try await serve(http, on: group) }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try await http.shutdown()
    try await group.shutdownGracefully()
    try result.get()
  }

  private func serve(_ http: HTTPClient, on group: MultiThreadedEventLoopGroup) async throws {
    var guarded: [(key: SidecarKey, workload: GuardedWorkload)] = []
    for workload in workloads {
      guarded.append(
        (
          try SidecarKey.load(path: workload.sidecarKeyFile),
          try GuardedWorkload(workload, http: http, clock: .system, metrics: metrics, logger: logger)
        ))
    }
    let sidecars = try SidecarDirectory(guarded)
    metrics.watch(sidecars.all)
    try PrivateSocket.prepare(address)
    // Begins with the time: a service that starts anew never repeats an epoch of the one before.
    let epoch = DecisionEpoch(startingAt: UInt64(max(1, WallClock.system.now().milliseconds)))
    let router = AuthorizationRouter(
      check: CheckService(
        sidecars: sidecars, repeated: RepeatedChecks(epoch: epoch, clock: .system), metrics: metrics,
        logger: logger),
      answers: AnswerService(sidecars: sidecars, logger: logger),
      plain: PlainService(sidecars: sidecars, epoch: epoch, metrics: metrics, logger: logger))
    let server = HTTP2Server(address: address, eventLoop: group.next()) { router.exchange(for: $0) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for workload in sidecars.all {
        group.addTask { await workload.reporter.run() }
        group.addTask { await RevocationWatcher(workload: workload, epoch: epoch).run() }
      }
      try await server.run {
        try PrivateSocket.protect(address)
        onReady()
      }
      group.cancelAll()
    }
    logger.notice("the authorization service has stopped")
  }
}
