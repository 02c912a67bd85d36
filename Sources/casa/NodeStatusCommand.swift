import AgentProtocols
import ArgumentParser
import CASACore
import NodeGuard

struct NodeStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show what the kernel enforces, whether `casa node run` runs or not.",
    discussion: """
      Exit code 0 when all programs are attached, 1 when some or all are not.

      Examples:
        casa node status
        casa node status --format json
      """)

  @OptionGroup var node: NodeOptions
  @Option(help: "How to print: text or json.")
  var format = OutputFormat.text

  func run() throws {
    let status = try NodeStatus(pins: node.pinDirectory)
    switch format {
    case .json: print(status.json.canonicalText)
    case .text:
      print(status.isEnforced ? "enforced" : "NOT enforced: run `casa node run`")
      guard !status.programs.isEmpty else { break }
      print(
        "maps        \(status.workloads) workloads, \(status.cgroups) cgroups, \(status.names) names, \(status.processes) processes"
      )
      if let variant = status.variant { print("loops       \(variant)") }
      print("lost        \(status.lostEvents) events, \(status.lostTokens) tokens")
      for program in status.programs {
        let mean = program.runs == 0 ? "-" : "\(program.runTime / program.runs) ns"
        print("program     \(program.name): \(program.runs) runs measured, \(mean) each")
      }
      for missing in status.missing { print("MISSING     \(missing)") }
    }
    if !status.isEnforced { throw ExitCode.failure }
  }
}
