import AgentProtocols
import AsyncHTTPClient
public import Logging
import Prometheus
public import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `casa node run`: keeps the kernel's enforcement like the policy, and carries away what the kernel saw.
public struct NodeGuardService: Service {
  public struct Configuration: Sendable {
    /// A file as `NodePolicy` reads it; it is taken over again whenever it changes.
    public var policyPath: String
    /// The pods that run here, as `PodDirectoryFile` reads them.
    public var podsFile: String?
    public var pins: PinDirectory
    /// Where the cgroup v2 hierarchy is mounted; nil: where the system has it.
    public var cgroupRoot: String?
    /// For the spool and the log of flows; made when it is missing.
    public var stateDirectory: String
    /// The most bytes of reports that wait on the disk.
    public var spoolBytes: Int
    /// The most events of one workload and class (refusals, connections, tokens) that the kernel tells; it counts those
    /// beyond.
    public var eventsPerSecond: UInt32
    /// What of the kernel is not used although it may have it.
    public var absentFeatures: Set<KernelFeature> = []
    /// Where to report to; nil: only to the log of flows.
    public var runtime: Runtime?
    /// Where `/metrics` is served.
    public var metrics: (host: String, port: Int)?

    public struct Runtime: Sendable {
      /// Without a slash at its end.
      public var baseURL: String
      public var clientID: String
      public var secret: String

      public init(baseURL: String, clientID: String, secret: String) {
        self.baseURL = baseURL
        self.clientID = clientID
        self.secret = secret
      }
    }

    public init(
      policyPath: String, podsFile: String? = nil, pins: PinDirectory = .standard, cgroupRoot: String? = nil,
      stateDirectory: String, spoolBytes: Int = 64 << 20, eventsPerSecond: UInt32 = 1000, runtime: Runtime? = nil,
      metrics: (host: String, port: Int)? = nil
    ) {
      self.policyPath = policyPath
      self.podsFile = podsFile
      self.pins = pins
      self.cgroupRoot = cgroupRoot
      self.stateDirectory = stateDirectory
      self.spoolBytes = spoolBytes
      self.eventsPerSecond = eventsPerSecond
      self.runtime = runtime
      self.metrics = metrics
    }
  }

  /// How long an event waits in the kernel at most.
  private static let pumpPause = Duration.milliseconds(20)
  /// How often the policy's file and the cgroups are looked at when the kernel tells of no change.
  private static let refreshPause = Duration.milliseconds(500)

  private static let measuredTime = Duration.milliseconds(500)
  private static let unmeasuredTime = Duration.milliseconds(9500)

  private let configuration: Configuration
  private let logger: Logger
  private let ready: @Sendable () -> Void

  /// - Parameter ready: called once the kernel enforces the policy.
  public init(_ configuration: Configuration, logger: Logger, ready: @escaping @Sendable () -> Void = {}) {
    self.configuration = configuration
    self.logger = logger
    self.ready = ready
  }

  /// - Throws: when enforcement can't begin; what was enforced before then still is.
  public func run() async throws {
    guard mkdir(configuration.stateDirectory, 0o700) == 0 || errno == EEXIST else {
      throw KernelFailure(
        code: errno, "\(configuration.stateDirectory) can't be made: \(String(cString: strerror(errno)))")
    }
    let spool = try configuration.runtime.map { _ throws(FlowSpoolError) in
      try FlowSpool(directory: configuration.stateDirectory + "/spool", maximumBytes: configuration.spoolBytes)
    }
    let node = try await NodeGuard(configuration, spool: spool, logger: logger)
    let delivered = DeliveredCount()
    ready()
    await cancelWhenGracefulShutdown {
      await withTaskGroup { tasks in
        tasks.addTask { await enforce(node) }
        tasks.addTask { await measure() }
        if let spool, let runtime = configuration.runtime {
          tasks.addTask { await deliver(spool, to: runtime, delivered) }
        }
        if let address = configuration.metrics {
          tasks.addTask { await serveMetrics(of: node, at: address, spool: spool, delivered) }
        }
      }
    }
    // What the kernel has by now is carried to the disk; what is more than that waits there for the next guard.
    _ = await node.pump()
    logger.notice("ended; the kernel goes on enforcing. `casa node detach` ends that")
  }

  private func enforce(_ node: NodeGuard) async {
    var next = ContinuousClock.now
    while !Task.isCancelled {
      let hasNewCgroups = await node.pump()
      if hasNewCgroups || next <= .now {
        await node.refresh()
        next = .now + Self.refreshPause
      }
      try? await Task.sleep(for: Self.pumpPause)
    }
  }

  /// Has the kernel time its programs now and then: all the time would cost each run as much as most runs take.
  private func measure() async {
    while !Task.isCancelled {
      do {
        let measuring = try KernelPrograms.measuring()
        try? await Task.sleep(for: Self.measuredTime)
        _ = consume measuring
      } catch {
        logger.warning("programs are not timed: \(error)")
        return
      }
      try? await Task.sleep(for: Self.unmeasuredTime)
    }
  }

  private func deliver(_ spool: FlowSpool, to runtime: Configuration.Runtime, _ delivered: DeliveredCount) async {
    let http = HTTPClient(eventLoopGroupProvider: .singleton)
    await FlowDelivery(
      spool: spool,
      destination: .init(
        baseURL: runtime.baseURL,
        authorization: BasicCredentials.headerValue(userID: runtime.clientID, password: runtime.secret)),
      http: http, logger: logger, delivered: delivered
    ).run()
    try? await http.shutdown()
  }

  private func serveMetrics(
    of node: NodeGuard, at address: (host: String, port: Int), spool: FlowSpool?, _ delivered: DeliveredCount
  ) async {
    let server = MetricsServer(host: address.host, port: address.port, logger: logger) {
      await node.metrics(delivered: delivered.value, waiting: spool?.bytes ?? 0)
    }
    do {
      try await server.run()
    } catch {
      logger.error("metrics are not served: \(error)")
    }
  }
}
