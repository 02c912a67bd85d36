import ArgumentParser
import EnvoyAuthorization
import Logging
import Sidecar

struct AuthorizeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "authorize",
    abstract: "Answer the questions of Envoys: may this request pass? (ext_authz and ext_proc over gRPC)",
    discussion: """
      Examples:
        casa authorize agent.yaml
        casa authorize client.yaml agent.yaml bank.yaml --metrics 127.0.0.1:9465
      """)

  @Argument(help: ArgumentHelp("Files that describe the workloads.", valueName: "workload.yaml"))
  var workloads: [String]

  @OptionGroup var metrics: MetricsOptions
  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    let logger = logging.logger("casa.authorize")
    let loaded = try workloads.map { try Workload.load(path: $0) }
    let service = try EnvoyAuthorizationService(workloads: loaded, logger: logger) {
      logger.notice("ready", metadata: ["address": "\(loaded[0].authorization)", "workloads": "\(loaded.count)"])
    }
    let server = metrics.server(logger: logger) { service.metrics.text }
    try await serve(service, metrics: server, logger: logger)
  }
}
