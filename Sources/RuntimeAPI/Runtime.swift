import AsyncHTTPClient
import CASACore
import HTTPServing
public import Hummingbird
import HummingbirdCore
public import IntentChecks
public import Logging
import NIOCore
import PrivateFiles
public import ServiceLifecycle
import Storage
import Synchronization
public import TokenService
import Traces

/// The runtime as one service: storage, the authorization server and its HTTP API.
public struct Runtime: Service {
  public struct Configuration: Sendable {
    public var host: String
    /// 0 lets the system choose.
    public var port: Int
    /// Where everything is kept; made when it is missing.
    public var dataDirectory: String
    /// Where a PostgreSQL server keeps the database, as libpq reads it; nil for SQLite in the data directory.
    public var databaseURL: String?
    /// nil for `http://HOST:PORT`.
    public var issuer: String?
    /// How long tokens live; whole seconds from 1 to 3600.
    public var tokenLifetime: Duration
    public var algorithm: SigningAlgorithm
    /// How long a request's headers may take to arrive, from its first byte.
    public var headerDeadline = Duration.seconds(10)
    /// How long a request's body may take after its headers.
    public var bodyDeadline = Duration.seconds(15)
    /// What the checks of intent ask.
    public var models = IntentModels()
    /// Whether everybody on this machine may read traces and prompts.
    public var opensTraces = false

    public init(
      host: String = "127.0.0.1", port: Int = 8700, dataDirectory: String, issuer: String? = nil,
      tokenLifetime: Duration = .seconds(300), algorithm: SigningAlgorithm = .es256
    ) {
      self.host = host
      self.port = port
      self.dataDirectory = dataDirectory
      self.issuer = issuer
      self.tokenLifetime = tokenLifetime
      self.algorithm = algorithm
    }

    /// The administrator's credential, when the operator gives it.
    public var adminCredential: String?

    /// The file with the administrator's credential, written at the first start when none is given.
    public var adminCredentialPath: String { dataDirectory + "/admin-credential" }
  }

  /// More connections than this wait to be accepted.
  private static let maximumConnections = 4096
  /// Longer than clients' pools keep a connection (60 s in AsyncHTTPClient), so that a client doesn't send into one
  /// that is just being closed. A new connection has to send at once: see `RequestArrival`.
  private static let idleTimeout = TimeAmount.seconds(90)

  private let configuration: Configuration
  private let logger: Logger
  private let pages: (@Sendable (RuntimeView) throws -> any HTTPResponder<BasicRequestContext>)?
  private let onReady: @Sendable (Int) -> Void

  /// - Parameters:
  ///   - pages: makes what answers `/` and `/explorer`; nil when nothing does.
  ///   - onReady: gets the port as soon as requests are answered.
  public init(
    configuration: Configuration, logger: Logger,
    pages: (@Sendable (RuntimeView) throws -> any HTTPResponder<BasicRequestContext>)? = nil,
    onReady: @escaping @Sendable (Int) -> Void = { _ in }
  ) {
    self.configuration = configuration
    self.logger = logger
    self.pages = pages
    self.onReady = onReady
  }

  /// Serves until a graceful shutdown; requests under way are answered, and everything stored is on the disk.
  public func run() async throws {
    let storage: any StorageDriver
    if let url = configuration.databaseURL {
      try PrivateFile.makeDirectory(configuration.dataDirectory)
      storage = try PostgresStorage(url: url, logger: logger)
    } else {
      storage = try SQLiteStorage(directory: configuration.dataDirectory)
    }
    do {
      try await serve(storage)
    } catch {
      await storage.close()
      throw error
    }
    await storage.close()
    logger.notice("the runtime has stopped")
  }

  private func adminCredential(_ storage: any StorageDriver) async throws(StorageError) -> AdminCredential {
    if let given = configuration.adminCredential { return try await AdminCredential(storage: storage, given: given) }
    let path = configuration.adminCredentialPath
    return try await AdminCredential(storage: storage) { secret throws(StorageError) in
      do throws(PrivateFileError) {
        try PrivateFile.write(secret.text + "\n", to: path)
      } catch {
        throw StorageError.unavailable(error.description)
      }
    }
  }

  private func serve(_ storage: any StorageDriver) async throws {
    try await storage.migrate(Schema.migrations)
    let admin = try await adminCredential(storage)
    let server = try await AuthorizationServer(
      configuration: AuthorizationServer.Configuration(
        issuer: configuration.issuer ?? "http://\(configuration.host):\(configuration.port)",
        tokenLifetime: configuration.tokenLifetime, algorithm: configuration.algorithm), storage: storage,
      models: configuration.models)
    var clientConfiguration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    clientConfiguration.timeout.connect = .seconds(2)
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: clientConfiguration)
    let lister = MCPToolLister(client: client)
    let state = ReadyFlag()
    let traces = TraceAccess(
      authentication: try await ReaderAuthentication(storage: storage, admin: admin, server: server),
      isOpen: configuration.opensTraces)
    let reader = TraceReader(storage: storage, directory: server.registry)
    let projector = TraceProjector(storage: storage)
    let responder = RuntimeResponder(
      server: server, admin: admin, traces: traces, reader: reader, pulse: TracePulse(reader: reader),
      projector: projector,
      pages: try pages?(RuntimeView(registry: server.registry, reader: reader, access: traces)), toolSource: lister,
      isReady: { state.isReady }, storage: storage, metrics: RuntimeMetrics(), logger: logger)
    let deadlines = ArrivalDeadlines(
      headers: TimeAmount(configuration.headerDeadline), body: TimeAmount(configuration.bodyDeadline))
    let application = Application(
      responder: responder,
      server: HTTPServerBuilder { responder in
        LoopBoundChannel(
          base: HTTP1Channel(
            responder: responder,
            configuration: .init(
              additionalChannelHandlers: [RequestArrival(deadlines: deadlines)], idleTimeout: Self.idleTimeout)))
      },
      configuration: ApplicationConfiguration(
        address: .hostname(configuration.host, port: configuration.port), serverName: nil,
        availableConnectionsDelegate: .maximum(Self.maximumConnections, logger: logger)),
      services: [
        ToolDiscovery(server: server, source: lister, logger: logger),
        Pruning(server: server, storage: storage, logger: logger), Following(server: server, logger: logger),
        Preparation(models: configuration.models),
        Projection(projector: projector, introspections: server.introspections, logger: logger),
      ],
      onServerRunning: { channel in
        state.isReady = true
        onReady(channel.localAddress?.port ?? configuration.port)
      }, logger: logger)
    let result: Result<Void, any Error>
    do {
      try await withGracefulShutdownHandler {
        try await application.run()
      } onGracefulShutdown: {
        state.isReady = false
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try await client.shutdown()
    try result.get()
  }
}

private final class ReadyFlag: Sendable {
  private let value = Atomic(false)
  var isReady: Bool {
    get { value.load(ordering: .acquiring) }
    set { value.store(newValue, ordering: .releasing) }
  }
}

/// Takes in what other runtimes on the same database change.
private struct Following: Service {
  let server: AuthorizationServer
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown { await server.follow(logger: logger) }
    try? await gracefulShutdown()
  }
}

/// Reads what the checks of intent will compare calls with, as it comes in.
private struct Preparation: Service {
  let models: IntentModels

  func run() async throws {
    await cancelWhenGracefulShutdown { await models.prepareAnnounced() }
  }
}

/// Keeps what the queries of traces answer from.
private struct Projection: Service {
  /// How long nothing is looked for after there was nothing more.
  private static let pause = Duration.milliseconds(250)

  let projector: TraceProjector
  let introspections: IntrospectionLog
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown {
      var settledAt = ContinuousClock.now
      while !Task.isCancelled {
        do {
          try await introspections.flush(at: WallClock.system.now())
          while try await projector.advance() == TraceProjector.batch, !Task.isCancelled {}
          if ContinuousClock.now - settledAt > .seconds(15) {
            settledAt = .now
            try await projector.settle()
          }
        } catch {
          logger.warning("the trace can't be read on; trying again", metadata: ["error": "\(error)"])
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
        do { try await Task.sleep(for: Self.pause) } catch { return }
      }
    }
    // What was answered last.
    try? await introspections.flush(at: WallClock.system.now())
  }
}

/// Forgets expired tokens and ended sessions each minute, and does what the database needs.
private struct Pruning: Service {
  let server: AuthorizationServer
  let storage: any StorageDriver
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        do { try await Task.sleep(for: .seconds(60)) } catch { return }
        do {
          try await server.prune()
        } catch {
          logger.warning("expired records could not be deleted", metadata: ["error": "\(error)"])
        }
        do {
          try await storage.maintain()
        } catch {
          logger.warning("the database could not be maintained", metadata: ["error": "\(error)"])
        }
      }
    }
  }
}
