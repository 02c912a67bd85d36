import ArgumentParser
import Foundation
import Logging
import NodeGuard
import Sidecar

struct NodeRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Enforce a policy in the kernel, and report flows.",
    discussion: """
      The policy's file is taken over again whenever it changes; one that can't be read leaves the one before in force.
      When this command ends, or is killed, the kernel goes on enforcing; start it again to go on reporting.

      Examples:
        casa node run --policy /etc/casa/node.yaml
        casa node run --policy node.yaml --runtime http://casa-runtime:8700 --node-id node_… --secret-file /etc/casa/secret
      """)

  private static let features = KernelFeature.allCases.map(\.rawValue).joined(separator: ", ")

  @Option(help: ArgumentHelp("Which workloads there are and what they may do.", valueName: "file"))
  var policy: String

  @OptionGroup var node: NodeOptions

  @Option(
    help: ArgumentHelp("The pods that run here, as JSON, for policies that name workloads by pod.", valueName: "file"))
  var pods: String?

  @Option(
    help: ArgumentHelp("Where cgroup v2 is mounted. Without it, found in /proc/self/mountinfo.", valueName: "directory")
  )
  var cgroups: String?

  @Option(help: ArgumentHelp("The runtime to report flows to.", valueName: "url"))
  var runtime: String?

  @Option(help: ArgumentHelp("As which node: its id at the runtime.", valueName: "id"))
  var nodeID: String?

  @Option(help: ArgumentHelp("A file that holds the node's id instead.", valueName: "file"))
  var nodeIDFile: String?

  @Option(help: ArgumentHelp("The node's secret; readable by its owner only.", valueName: "file"))
  var secretFile: String?

  @Option(help: ArgumentHelp("The most MiB of reports that wait on the disk, 1 to 65536.", valueName: "MiB"))
  var spool = 64

  @Option(
    help: ArgumentHelp(
      "The most refusals, connections and tokens of a workload that are told, each; more are counted.",
      valueName: "number"))
  var eventsPerSecond: UInt32 = 1000

  @Option(
    help: ArgumentHelp(
      "Do as on a kernel that lacks it, to try that on one that has it: \(Self.features).", valueName: "feature"))
  var withoutKernelFeature: [String] = []

  @OptionGroup var metrics: MetricsOptions
  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    guard (1...65_536).contains(spool) else { throw ValidationError("--spool must be 1 to 65536 MiB; got \(spool)") }
    var configuration = NodeGuardService.Configuration(
      policyPath: policy, podsFile: pods, pins: node.pinDirectory, cgroupRoot: cgroups, stateDirectory: node.state,
      spoolBytes: spool << 20, eventsPerSecond: eventsPerSecond)
    for name in withoutKernelFeature {
      guard let feature = KernelFeature(rawValue: name) else {
        throw ValidationError("--without-kernel-feature must be one of \(Self.features); got '\(name)'")
      }
      configuration.absentFeatures.insert(feature)
    }
    guard nodeID == nil || nodeIDFile == nil else { throw ValidationError("give either --node-id or --node-id-file") }
    let id =
      try nodeID
      ?? nodeIDFile.map { path in
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
          throw ValidationError("--node-id-file \(path) can't be read; it must hold the node's id")
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
      }
    switch (runtime, id, secretFile) {
    case (nil, nil, nil): break
    case (var url?, let id?, let file?):
      guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
        throw ValidationError("--runtime must be an http or https URL; got '\(url)'")
      }
      while url.hasSuffix("/") { url.removeLast() }
      configuration.runtime = .init(
        baseURL: url, clientID: id, secret: try SecretFile.read(file, what: "the node's secret"))
    default:
      throw ValidationError(
        "--runtime, --node-id (or its file) and --secret-file belong together: give all three, or none")
    }
    configuration.metrics = metrics.address.map { ($0.host, $0.port) }
    let logger = logging.logger("casa.node")
    let service = NodeGuardService(configuration, logger: logger) {
      logger.notice("ready", metadata: ["pins": "\(node.pins)"])
    }
    try await serve(service, logger: logger)
  }
}
