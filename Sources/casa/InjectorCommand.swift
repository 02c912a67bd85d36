import ArgumentParser

struct InjectorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "injector",
    abstract: "Put sidecars into the pods of guarded namespaces, and let no others in.",
    discussion: """
      casa injector --image …            the same as casa injector run --image …
      casa injector certificate          make an authority and a certificate for trying it out
      """,
    subcommands: [InjectorRunCommand.self, InjectorCertificateCommand.self],
    defaultSubcommand: InjectorRunCommand.self)
}
