import ArgumentParser

struct SidecarCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sidecar",
    abstract: "Run Envoy beside a workload, so that nothing enters or leaves without being asked about.",
    discussion: """
      casa sidecar agent.yaml            the same as casa sidecar run agent.yaml
      casa sidecar intercept             lead all traffic of a pod through it
      """,
    subcommands: [SidecarRunCommand.self, SidecarInterceptCommand.self], defaultSubcommand: SidecarRunCommand.self)
}
