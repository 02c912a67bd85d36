import ArgumentParser

struct ControllerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "controller",
    abstract: "Turn MultiAgentSystem and CASAPolicy objects into what a cluster enforces.",
    discussion: """
      casa controller render -f bank.yaml                  what would be written for these objects
      """,
    subcommands: [ControllerRenderCommand.self])
}
