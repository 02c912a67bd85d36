import ArgumentParser

struct TracesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "traces",
    abstract: "See what a runtime decided and why, in a terminal.",
    discussion: """
      casa traces tail --mas mas_5f1d               what happens, as it happens
      casa traces query --verdict refused           sessions in which something was refused
      casa traces show inp_9c3a                     one session: prompt, tokens, calls, checks, flows
      casa traces prune --older-than 30             forget what is older than 30 days

      The credential is the administrator's, or a reader's as `POST /readers` gives it. It is read from
      --credential-file, or else from the environment's CASA_CREDENTIAL.
      """,
    subcommands: [TracesTailCommand.self, TracesQueryCommand.self, TracesShowCommand.self, TracesPruneCommand.self])
}
