public import ArgumentParser
public import Injection
import Logging

struct InjectorRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Answer the API server's admission reviews over HTTPS, at /mutate and /validate.",
    discussion: """
      The certificate and its key are taken over again whenever their files change.

      Examples:
        casa injector --image registry.example/casa:1 --certificate /tls/tls.crt --key /tls/tls.key
        casa injector --mode istio --istio-proxy-image docker.io/istio/proxyv2:1.29.0 --certificate … --key …
      """)

  @Option(help: "Where to listen.")
  var listen = "0.0.0.0:9443"

  @Option(help: ArgumentHelp("The server's certificate and what vouches for it, PEM.", valueName: "file"))
  var certificate: String

  @Option(help: ArgumentHelp("The certificate's key, PEM.", valueName: "file"))
  var key: String

  @Option(
    help: ArgumentHelp(
      "The authorities, PEM, of whom a caller must show a certificate: for API servers that have one.",
      valueName: "file"))
  var clientCa: String?

  @OptionGroup var metrics: MetricsOptions

  @Option(help: ArgumentHelp("Whose sidecar pods have: cilium (ours) or istio.", valueName: "mode"))
  var mode = InjectionConfiguration.Mode.cilium

  @Option(
    help: ArgumentHelp("The image with casa and Envoy that sidecars run; needed in mode cilium.", valueName: "image"))
  var image: String?

  @Option(help: ArgumentHelp("When that image is pulled: Always, IfNotPresent or Never.", valueName: "policy"))
  var imagePullPolicy = InjectionConfiguration.PullPolicy.ifNotPresent

  @Flag(
    inversion: .prefixedNo,
    help: "Whether sidecars are init containers that go on running, which Kubernetes has from 1.29 on.")
  var nativeSidecars = true

  @Option(
    help: ArgumentHelp(
      "The user that apps run as whose pods name none. Without it such pods are refused.", valueName: "uid"))
  var defaultUser: UInt32?

  @Option(
    name: .customLong("exempt-group"),
    help: ArgumentHelp(
      "Whose members may take the label from a namespace and forward ports; repeatable.", valueName: "group"))
  var exemptGroups = ["system:masters"]

  @Option(help: ArgumentHelp("Who alone may write Secrets named casa-workload-*.", valueName: "user"))
  var controller = "system:serviceaccount:casa-system:casa-controller"

  @Option(help: ArgumentHelp("The image that Istio's containers must have, in mode istio.", valueName: "image"))
  var istioProxyImage: String?

  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard HostAndPort(listen) != nil else {
      throw ValidationError("--listen must be host:port, such as 0.0.0.0:9443; got '\(listen)'")
    }
    guard mode == .istio || image?.isEmpty == false else {
      throw ValidationError("--image is missing: the image with casa and Envoy that sidecars run")
    }
    guard mode == .cilium || istioProxyImage?.isEmpty == false else {
      throw ValidationError("--istio-proxy-image is missing: the image of Istio's sidecar, as Istio was installed with")
    }
    guard defaultUser != 1337 else {
      throw ValidationError("--default-user must not be 1337, which is the sidecar's")
    }
  }

  func run() async throws {
    guard let address = HostAndPort(listen) else { return }
    var injection = InjectionConfiguration(mode: mode, image: image ?? "")
    injection.pullPolicy = imagePullPolicy
    injection.usesNativeSidecars = nativeSidecars
    injection.defaultUser = defaultUser
    injection.exemptGroups = Set(exemptGroups)
    injection.controller = controller
    injection.istioProxyImage = istioProxyImage
    var configuration = InjectorService.Configuration(
      host: address.host, port: address.port, certificatePath: certificate, keyPath: key, injection: injection)
    configuration.clientAuthorityPath = clientCa
    configuration.metrics = metrics.address.map { ($0.host, $0.port) }
    let logger = logging.logger("casa.injector")
    let service = InjectorService(configuration, logger: logger) { port in
      logger.notice("ready", metadata: ["address": "\(address.host):\(port)", "mode": "\(mode.rawValue)"])
    }
    try await serve(service, logger: logger)
  }
}

extension InjectionConfiguration.Mode: ExpressibleByArgument {}
extension InjectionConfiguration.PullPolicy: ExpressibleByArgument {}
