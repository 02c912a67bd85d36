import ArgumentParser
import EnvoyAuthorization
import Logging
import Sidecar
import Synchronization

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
    let current = Mutex<EnvoyAuthorizationService?>(nil)
    let service = ReloadedService(logger: logger) {
      var loaded: [Workload] = []
      for path in workloads { loaded.append(try Workload.load(path: path)) }
      let address = loaded.first.map { "\($0.authorization)" } ?? ""
      let count = loaded.count
      let service = try EnvoyAuthorizationService(workloads: loaded, logger: logger) {
        logger.notice("ready", metadata: ["address": "\(address)", "workloads": "\(count)"])
      }
      current.withLock { $0 = service }
      return .init(service: service, files: workloads + loaded.flatMap(\.secretFiles))
    }
    let server = metrics.server(logger: logger) { current.withLock({ $0 })?.metrics.text ?? "" }
    try await serve(service, metrics: server, logger: logger)
  }
}
