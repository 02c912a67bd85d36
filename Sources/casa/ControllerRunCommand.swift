import Administration
import ArgumentParser
import AsyncHTTPClient
import ClusterObjects
import Controller
import Foundation
import Logging
import NIOCore

struct ControllerRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Bring a cluster and its runtime to what MultiAgentSystem and CASAPolicy objects say.",
    discussion: """
      In a pod it uses the pod's service account, elsewhere a kubeconfig file ($KUBECONFIG or ~/.kube/config). Of several
      replicas one works; the others wait for its Lease.

      Examples:
        casa controller run --runtime http://casa-runtime:8700 --admin-credential-file /etc/casa/admin/credential
        casa controller run --runtime http://127.0.0.1:8700 --admin-credential-file data/admin-credential --mode istio
      """)

  @Option(help: ArgumentHelp("The runtime's base URL, as the controller reaches it.", valueName: "url"))
  var runtime: String

  @Option(help: ArgumentHelp("A file with the runtime's administrator credential.", valueName: "file"))
  var adminCredentialFile: String

  @OptionGroup var cluster: ClusterOptions

  @Option(help: "The kubeconfig's context to use instead of its current one.")
  var context: String?

  @Option(help: "What no other replica is called; the host's name, which is a pod's name, if not given.")
  var identity: String?

  @Option(help: "How many objects are worked on at once, 1 to 256.")
  var concurrency = 16

  @Option(help: "How many requests a second the API server gets at most, 1 to 10000.")
  var requestsPerSecond = 200

  @Option(help: "How often the runtime is compared with the cluster as a whole, in seconds, 1 to 3600.")
  var resyncSeconds = 60

  @Flag(
    name: .customLong("no-webhook-certificate"),
    help: "Leave the injector's certificate and the webhooks' caBundle to somebody else, such as cert-manager.")
  var leavesWebhookCertificate = false

  @OptionGroup var metrics: MetricsOptions
  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard runtime.hasPrefix("http://") || runtime.hasPrefix("https://"), !runtime.hasSuffix("/") else {
      throw ValidationError("--runtime must be an http or https URL without a slash at its end; got '\(runtime)'")
    }
    guard (1...256).contains(concurrency) else {
      throw ValidationError("--concurrency must be 1 to 256; got \(concurrency)")
    }
    guard (1...10_000).contains(requestsPerSecond) else {
      throw ValidationError("--requests-per-second must be 1 to 10000; got \(requestsPerSecond)")
    }
    guard (1...3600).contains(resyncSeconds) else {
      throw ValidationError("--resync-seconds must be 1 to 3600; got \(resyncSeconds)")
    }
  }

  func run() async throws {
    let logger = logging.logger("casa.controller")
    guard let text = try? String(contentsOfFile: adminCredentialFile, encoding: .utf8) else {
      throw ValidationError("--admin-credential-file \(adminCredentialFile) can't be read")
    }
    let access = try ClusterAccess.found(environment: ProcessInfo.processInfo.environment, context: context)
    let cluster = HTTPClient(
      eventLoopGroupProvider: .singleton, configuration: try access.httpClientConfiguration())
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.timeout.connect = .seconds(2)
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
      let controller = controller(access, cluster: cluster, http: http, credential: text, logger: logger)
      try await serve(
        controller, metrics: metrics.server(logger: logger) { controller.metricsText }, logger: logger)
    } catch {
      try? await cluster.shutdown()
      try? await http.shutdown()
      throw error
    }
    try await cluster.shutdown()
    try await http.shutdown()
  }

  private func controller(
    _ access: ClusterAccess, cluster: HTTPClient, http: HTTPClient, credential: String, logger: Logger
  ) -> ControllerService {
    var settings = KubernetesClient.Settings()
    settings.rate = RequestRate(perSecond: Double(requestsPerSecond), burst: 2 * requestsPerSecond)
    var configuration = ControllerService.Configuration(
      identity: identity ?? ProcessInfo.processInfo.hostName, settings: self.cluster.settings)
    configuration.concurrency = concurrency
    configuration.resyncInterval = .seconds(resyncSeconds)
    configuration.keepsWebhookCertificates = !leavesWebhookCertificate
    return ControllerService(
      configuration: configuration,
      client: KubernetesClient(access, http: cluster, settings: settings, logger: logger),
      runtime: RuntimeAdministration(
        http: http, baseURL: runtime, credential: credential.trimmingCharacters(in: .whitespacesAndNewlines)),
      logger: logger)
  }
}
