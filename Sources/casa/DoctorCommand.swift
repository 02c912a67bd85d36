import AgentProtocols
import ArgumentParser
import AsyncHTTPClient
import CASACore
import Controller
import Doctor
import Foundation
import Logging
import Sidecar

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what a machine or a cluster lacks for CASA, and what to do about it.",
    discussion: """
      Changes nothing. Ends with 1 when something failed, with 0 when there are warnings only.

      Examples:
        casa doctor                          this machine
        casa doctor --cluster                this machine and the cluster of the current context
        casa doctor --cluster --format json
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Flag(help: "Look at the cluster of the kubeconfig's current context, or of this pod.")
  var cluster = false

  @Option(help: "The kubeconfig's context to use instead of its current one.")
  var context: String?

  @Option(help: "The namespace in which CASA's own parts run.")
  var namespace = "casa-system"

  @Option(help: "How the findings are written: text or json.")
  var format = Format.text

  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    var filterProblem: String?
    do throws(ConfigurationError) {
      try DynamicModuleFilter.requireLibrary()
    } catch {
      filterProblem = "\(error)"
    }
    var findings = MachineExamination.findings(
      MachineFacts.gathered(envoy: EnvoyProcess.locate(), filterProblem: filterProblem))
    if cluster || context != nil { findings += await clusterFindings() }
    switch format {
    case .json:
      let json: JSONValue = ["findings": .array(findings.map(\.json))]
      print(json.canonicalText)
    case .text: for finding in findings { print(Self.line(finding)) }
    }
    if findings.contains(where: { $0.verdict == .failed }) { throw ExitCode.failure }
  }

  private static func line(_ finding: Finding) -> String {
    let mark =
      switch finding.verdict {
      case .ok: Terminal.allowed("ok     ")
      case .warning: "warning"
      case .failed: Terminal.refused("FAILED ")
      case .skipped: Terminal.quiet("skipped")
      }
    let message = "\(mark)  \(finding.check): \(Terminal.visible(finding.message))"
    return finding.remedy.isEmpty ? message : message + "\n         → " + Terminal.visible(finding.remedy)
  }

  private func clusterFindings() async -> [Finding] {
    let logger = logging.logger("casa.doctor")
    do {
      let access = try ClusterAccess.found(environment: ProcessInfo.processInfo.environment, context: context)
      let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: try access.httpClientConfiguration())
      var settings = KubernetesClient.Settings()
      settings.attempts = 2
      settings.totalTimeout = .seconds(15)
      let client = KubernetesClient(access, http: http, settings: settings, logger: logger)
      let findings: [Finding]
      do {
        let version = try await client.serverVersion()
        findings = ClusterExamination.findings(await facts(client, version))
      } catch {
        findings = [
          Finding(
            "cluster.api", .failed, "the API server does not answer: \(error)",
            remedy: "kubectl version shows whether this user reaches it")
        ]
      }
      try? await http.shutdown()
      return findings
    } catch {
      return [Finding("cluster.access", .failed, "\(error)", remedy: "set KUBECONFIG to a file that kubectl can use")]
    }
  }

  private func facts(_ client: KubernetesClient, _ version: ServerVersion) async -> ClusterFacts {
    var facts = ClusterFacts()
    (facts.major, facts.minor, facts.systemNamespace) = (version.major, version.minor, namespace)
    facts.now = WallClock.system.now()
    func list(_ resource: KubernetesResource, _ selection: ObjectSelection = .all) async -> [JSONValue]? {
      try? await client.list(resource, selection).items.map(\.json)
    }
    facts.definitions = await list(.customResourceDefinitions)
    facts.mutatingWebhooks = await list(.mutatingWebhookConfigurations)
    facts.validatingWebhooks = await list(.validatingWebhookConfigurations)
    facts.namespaces = await list(.namespaces)
    facts.pods = await list(.pods)
    let own = ObjectSelection(namespace: namespace)
    if let deployments = await list(.deployments, own), let daemonSets = await list(.daemonSets, own) {
      facts.parts = deployments + daemonSets
    }
    facts.lease = try? await client.get(.leases, ObjectKey(namespace: namespace, name: "casa-controller")).json
    facts.systems = await list(.multiAgentSystems)
    facts.policies = await list(.casaPolicies)
    return facts
  }
}
