import ArgumentParser

struct ControllerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "controller",
    abstract: "Turn MultiAgentSystem and CASAPolicy objects into what a cluster enforces.",
    discussion: """
      casa controller run --runtime http://casa-runtime:8700 --admin-credential-file credential
                                                           keep a cluster as they say
      casa controller render -f bank.yaml                  what would be written for these objects
      """,
    subcommands: [ControllerRunCommand.self, ControllerRenderCommand.self],
    defaultSubcommand: ControllerRunCommand.self)
}
