import AgentProtocols
import ArgumentParser
import NodeGuard

struct NodePolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Show the policy that is enforced, or check a file.",
    discussion: """
      Examples:
        casa node policy
        casa node policy --workload agent
        casa node policy --check node.yaml
      """)

  @OptionGroup var node: NodeOptions

  @Option(
    help: ArgumentHelp("Read this file instead of what is enforced; exit code 1 if it is refused.", valueName: "file"))
  var check: String?

  @Option(help: ArgumentHelp("Show this workload only.", valueName: "name"))
  var workload: String?

  @Option(help: "How to print: text or json.")
  var format = OutputFormat.text

  func run() throws {
    let policy = try check.map { try NodePolicy.load(path: $0) } ?? AppliedPolicy.load(from: node.state)
    let shown = try workload.map { [try policy.workload(orFail: $0)] } ?? policy.workloads
    switch format {
    case .json: print(policy.json(of: shown).canonicalText)
    case .text:
      if !policy.resolvers.isEmpty {
        print("resolvers  \(policy.resolvers.map(\.description).joined(separator: ", ")), port \(policy.resolverPort)")
      }
      for path in policy.guarded { print("guarded    \(path)") }
      for workload in shown {
        print("\(workload.name)  (\(workload.selector))\(workload.isObserved ? "  observed only" : "")")
        for line in workload.lines { print("  \(line)") }
      }
    }
  }
}

extension NodePolicy {
  /// - Throws: `ValidationError` that names the workloads there are.
  func workload(orFail name: String) throws -> WorkloadPolicy {
    guard let found = workload(named: name) else {
      let names = workloads.prefix(20).map(\.name).joined(separator: ", ")
      throw ValidationError(
        "no workload is named '\(name)'; expected one of: \(names)\(workloads.count > 20 ? ", …" : "")")
    }
    return found
  }
}
