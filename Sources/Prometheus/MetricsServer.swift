import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
public import ServiceLifecycle

/// Serves `/metrics`, `/healthz` and `/readyz` of a program that serves nothing else over HTTP.
public struct MetricsServer: Service {
  private static let maximumConnections = 64
  private static let idleTimeout = TimeAmount.seconds(90)

  private let host: String
  private let port: Int
  private let logger: Logger
  private let text: @Sendable () async -> String

  /// - Parameter text: in Prometheus' format, made for each request.
  public init(host: String, port: Int, logger: Logger, text: @escaping @Sendable () async -> String) {
    self.host = host
    self.port = port
    self.logger = logger
    self.text = text
  }

  /// Serves until a graceful shutdown.
  /// - Throws: when nothing can be served at that address.
  public func run() async throws {
    let text = text
    let router = Router()
    router.get("metrics") { _, _ in
      Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: await text())))
    }
    router.get("healthz") { _, _ in "ok\n" }
    router.get("readyz") { _, _ in "ok\n" }
    try await Application(
      router: router, server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
      configuration: .init(
        address: .hostname(host, port: port), serverName: nil,
        availableConnectionsDelegate: .maximum(Self.maximumConnections, logger: logger)),
      logger: logger
    ).run()
  }
}
