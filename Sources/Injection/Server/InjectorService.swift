import HTTPServing
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
public import ServiceLifecycle

/// `casa injector`: the webhooks' server.
public struct InjectorService: Service {
  public struct Configuration: Sendable {
    public var host: String
    /// 0 lets the system choose.
    public var port: Int
    /// PEM files; followed while the server runs.
    public var certificatePath: String
    public var keyPath: String
    /// The authorities of whom callers must have a certificate; nil asks them for none.
    public var clientAuthorityPath: String?
    /// Where `/metrics`, `/healthz` and `/readyz` are served without TLS.
    public var metrics: (host: String, port: Int)?
    public var injection: InjectionConfiguration
    /// How long a connection's TLS and a request's headers may take.
    public var headerDeadline = Duration.seconds(10)
    /// How long a body may take after its headers. The API server waits for 5 s, as the webhooks' `timeoutSeconds` is
    /// set: whoever takes longer is none that an answer helps, and would only hold one of the connections.
    public var bodyDeadline = Duration.seconds(3)

    public init(
      host: String, port: Int, certificatePath: String, keyPath: String, injection: InjectionConfiguration
    ) {
      self.host = host
      self.port = port
      self.certificatePath = certificatePath
      self.keyPath = keyPath
      self.injection = injection
    }
  }

  private static let maximumConnections = 1024
  /// The API server keeps its connections for longer than a new one would cost it.
  private static let idleTimeout = TimeAmount.seconds(120)

  private let configuration: Configuration
  private let logger: Logger
  private let onReady: @Sendable (Int) -> Void

  /// - Parameter onReady: gets the port as soon as reviews are answered.
  public init(_ configuration: Configuration, logger: Logger, onReady: @escaping @Sendable (Int) -> Void = { _ in }) {
    self.configuration = configuration
    self.logger = logger
    self.onReady = onReady
  }

  /// Serves until a graceful shutdown; reviews under way are answered.
  /// - Throws: when there is no certificate to begin with, or no port.
  public func run() async throws {
    let certificates = try CertificateFiles(
      CertificateFiles.Paths(
        certificate: configuration.certificatePath, key: configuration.keyPath,
        clientAuthority: configuration.clientAuthorityPath), logger: logger)
    let metrics = InjectorMetrics()
    let responder = InjectorResponder(
      admission: Admission(configuration: configuration.injection), certificates: certificates, metrics: metrics,
      underWay: UnderWay(), logger: logger)
    let deadlines = ArrivalDeadlines(
      headers: TimeAmount(configuration.headerDeadline), body: TimeAmount(configuration.bodyDeadline))
    var services: [any Service] = [CertificateWatch(certificates: certificates)]
    if let address = configuration.metrics {
      services.append(
        Application(
          responder: CallbackResponder { (request: Request, _: BasicRequestContext) in
            let path = request.head.path ?? "/"
            if let answer = responder.probe(path, request.method) { return answer }
            guard path == "/metrics", request.method == .get else {
              return InjectorResponder.text(.notFound, "nothing is at this path\n")
            }
            let (reloads, failures) = certificates.counts
            let text = metrics.text(certificateExpires: certificates.expires, reloads: reloads, failures: failures)
            return InjectorResponder.response(.ok, ByteBuffer(string: text), "text/plain; version=0.0.4; charset=utf-8")
          },
          server: HTTPServerBuilder { responder in
            HTTP1Channel(
              responder: responder,
              configuration: .init(
                additionalChannelHandlers: [RequestArrival(deadlines: deadlines)], idleTimeout: .seconds(30)))
          },
          configuration: ApplicationConfiguration(
            address: .hostname(address.host, port: address.port), serverName: nil,
            availableConnectionsDelegate: .maximum(64, logger: logger)), logger: logger))
    }
    let application = Application(
      responder: responder,
      server: HTTPServerBuilder { responder in
        SecuredChannel(
          base: LoopBoundChannel(
            base: HTTP1Channel(
              responder: responder,
              configuration: .init(
                additionalChannelHandlers: [RequestArrival(deadlines: deadlines)], idleTimeout: Self.idleTimeout,
                httpDecoderConfiguration: .init(
                  maxHeaderFieldSize: 16_384, maxHeaderListSize: 32_768, maxHeaderFieldCount: 100)))),
          certificates: certificates)
      },
      configuration: ApplicationConfiguration(
        address: .hostname(configuration.host, port: configuration.port), serverName: nil,
        availableConnectionsDelegate: .maximum(Self.maximumConnections, logger: logger)),
      services: services,
      onServerRunning: { channel in onReady(channel.localAddress?.port ?? configuration.port) }, logger: logger)
    try await application.run()
  }
}

private struct CertificateWatch: Service {
  let certificates: CertificateFiles

  func run() async throws {
    await cancelWhenGracefulShutdown { await certificates.follow() }
    try? await gracefulShutdown()
  }
}
