import AgentProtocols
import ArgumentParser
import CASACore
import ClusterObjects
import CustomResources
import Foundation

struct ControllerRenderCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "render",
    abstract: "Print what the controller would write into a cluster for objects from files.",
    discussion: """
      Asks no cluster and no runtime. Secrets are left out, since only a running controller has them; --workload prints
      what one would say of an app. What would not be in force is told on standard error; exit code 1 if an object is
      refused.

      Examples:
        casa controller render -f system.yaml -f policies.yaml
        casa controller render -f bank.yaml --mode istio --format json
        casa controller render -f bank.yaml --workload agent --client-id app_0123
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case yaml, json }

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("A file of MultiAgentSystem and CASAPolicy objects, - for standard input.", valueName: "file"))
  var file: [String]

  @OptionGroup var cluster: ClusterOptions

  @Option(help: "How to print: yaml, or json with one object a line.")
  var format = Format.yaml

  @Option(help: ArgumentHelp("The namespace of objects that name none.", valueName: "name"))
  var namespace = "default"

  @Option(help: ArgumentHelp("Print the workload.yaml of the app of this workload instead.", valueName: "name"))
  var workload: String?

  @Option(help: ArgumentHelp("What that app is at the runtime.", valueName: "id"))
  var clientID: String?

  private static let maximumBytes = 16 << 20

  func validate() throws {
    guard !file.isEmpty else { throw ValidationError("give at least one -f file") }
    guard (workload == nil) == (clientID == nil) else {
      throw ValidationError("--workload and --client-id belong together: give both, or none")
    }
  }

  func run() throws {
    var resources: [Resource] = []
    for path in file { resources += try read(path) }
    let resolution = Resolution(
      systems: resources.compactMap { if case .system(let system) = $0 { system } else { nil } },
      policies: resources.compactMap { if case .policy(let policy) = $0 { policy } else { nil } })
    let settings = cluster.settings
    if let workload, let clientID {
      print(try workloadFile(of: workload, clientID: clientID, in: resolution, settings))
    } else {
      let objects = resolution.systems.flatMap { ClusterObjects.objects(of: $0, settings) }
      switch format {
      case .json: for object in objects { print(object.json.canonicalText) }
      case .yaml: print(try ClusterObject.yaml(of: objects), terminator: "")
      }
    }
    let refused = (resolution.refusedSystems.map { ($0, $1) } + resolution.policyProblems.map { ($0, $1) })
      .sorted { $0.0 < $1.0 }
    for system in resolution.systems {
      for problem in system.problems { tell(system.object.metadata.reference, problem) }
    }
    for (reference, problem) in refused { tell(reference, problem) }
    guard refused.isEmpty else { throw ExitCode.failure }
  }

  private func read(_ path: String) throws -> [Resource] {
    let data = path == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: path)
    guard let data else {
      throw ValidationError(
        "\(path) can't be read; expected a file or -, not a folder: give each file with its own -f")
    }
    guard data.count <= Self.maximumBytes, let text = String(data: data, encoding: .utf8) else {
      throw ValidationError("\(path) must be UTF-8 of at most \(Self.maximumBytes) bytes")
    }
    do {
      return try Resource.read(yaml: text, defaultNamespace: namespace)
    } catch {
      throw ValidationError("\(path): \(error)")
    }
  }

  private func workloadFile(
    of workload: String, clientID: String, in resolution: Resolution, _ settings: ClusterSettings
  ) throws -> String {
    guard let id = AppID(validating: clientID) else {
      throw ValidationError("--client-id must be 1 to 128 of A-Z a-z 0-9 _ - .; got '\(clientID)'")
    }
    for system in resolution.systems {
      for app in system.apps where app.app.workloadName == workload {
        return try WorkloadFile(of: app, in: system, clientID: id, settings: settings).text
      }
    }
    throw ValidationError("no app here has `kubernetesWorkloadName: \(workload)`")
  }

  private func tell(_ reference: String, _ problem: ResourceProblem) {
    FileHandle.standardError.write(Data("\(reference): \(problem.reason.rawValue): \(problem.message)\n".utf8))
  }
}
