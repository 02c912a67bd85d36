import ArgumentParser
import Logging
import Prometheus

struct MetricsOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where to serve /metrics and the health checks, without TLS.", valueName: "host:port"))
  var metrics: String?

  /// Where to serve them; nil for nowhere.
  var address: HostAndPort? { metrics.flatMap { HostAndPort($0) } }

  func validate() throws {
    guard metrics == nil || address != nil else {
      throw ValidationError("--metrics must be host:port, such as 127.0.0.1:9464; got '\(metrics ?? "")'")
    }
  }

  func server(logger: Logger, text: @escaping @Sendable () async -> String) -> MetricsServer? {
    address.map { MetricsServer(host: $0.host, port: $0.port, logger: logger, text: text) }
  }
}
