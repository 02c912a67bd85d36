import ArgumentParser
import Foundation
import LocalMode
import Logging
import ServiceLifecycle

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Run everything CASA needs around the apps of one system, on this machine.",
    discussion: """
      Starts the runtime, the authorization service and an Envoy for each app; registers the system and its apps.
      Your apps you start yourself, each pointed at its sidecar's addresses. Ends with SIGTERM or Ctrl-C; started
      again with the same --directory it goes on with what it knew.

      Examples:
        casa up examples/banking/system.yaml
        casa up system.yaml --directory /var/lib/casa --format json
      """)

  @Argument(help: ArgumentHelp("The file that describes the system.", valueName: "system.yaml"))
  var system: String

  @Option(help: "Where everything is kept.")
  var directory = "./.casa"

  @Option(help: "How to tell that all is running: text or json.")
  var format = OutputFormat.text

  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    let logger = logging.logger("casa.up")
    let format = format
    let stack = LocalStack(
      system: try LocalSystem.load(path: system), directory: directory, executable: ownExecutable(), logger: logger
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
