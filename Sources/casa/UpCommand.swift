import ArgumentParser
import CASACore
import Foundation
import LocalMode
import Logging
import ServiceLifecycle
import Sidecar

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Run everything CASA needs around the apps of one system, on this machine.",
    discussion: """
      Starts the runtime, the authorization service and an Envoy for each app; registers the system and its apps.
      Your apps you start yourself, each pointed at its sidecar's addresses: `casa run` does that. Ends with SIGTERM
      or Ctrl-C; started again with the same --directory it goes on with what it knew.

      The system comes from a file of its own form, or with -f from the same MultiAgentSystem and CASAPolicy objects
      that a cluster gets, which are enforced here as there: what its policy doesn't let an app call, its sidecar has
      no address for. See docs/configuration.md.

      Examples:
        casa up examples/banking/system.yaml
        casa up system.yaml --directory /var/lib/casa --format json
        casa up -f mas.yaml -f policy.yaml
        casa up -f examples/kubernetes/banking --llm-url http://127.0.0.1:8102/v1
        sudo casa up -f mas.yaml -f policy.yaml --node-guard
      """)

  @Argument(help: ArgumentHelp("The file that describes the system.", valueName: "system.yaml"))
  var system: String?

  @Option(
    name: [.customShort("f"), .customLong("filename")],
    help: ArgumentHelp(
      "A file or folder with MultiAgentSystem and CASAPolicy objects, or - for standard input; may be given several times.",
      valueName: "file"))
  var files: [String] = []

  @OptionGroup(title: "Options with -f") var placement: PlacementOptions

  @Option(help: "Where everything is kept.")
  var directory = "./.casa"

  @Option(help: "How to tell that all is running: text or json.")
  var format = OutputFormat.text

  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard (system == nil) != files.isEmpty else {
      throw ValidationError("give either system.yaml or -f with MultiAgentSystem and CASAPolicy objects")
    }
    if system != nil, let option = placement.given {
      throw ValidationError("\(option) goes with -f; in system.yaml the file itself says it")
    }
  }

  func run() async throws {
    let logger = logging.logger("casa.up")
    let format = format
    let system: LocalSystem
    var nodeGuard: LocalNodeGuard?
    if let path = self.system {
      system = try LocalSystem.load(path: path)
    } else {
      (system, nodeGuard) = try placement.place(files, directory: directory)
    }
    let stack = LocalStack(
      system: system, nodeGuard: nodeGuard, directory: directory, executable: ownExecutable(), logger: logger
    ) { running in
      print(format == .json ? running.json : running.text)
      fflush(nil)
    }
    try await serve(stack, logger: logger)
  }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

/// The path of this very program.
func ownExecutable() -> String {
  (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
}
