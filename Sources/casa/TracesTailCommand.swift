import AgentProtocols
import ArgumentParser
import CASACore

struct TracesTailCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail",
    abstract: "Follow what happens, as it happens.",
    discussion: """
      When the connection breaks it is made again, and what happened meanwhile follows.

      Examples:
        casa traces tail --credential-file data/admin-credential
        casa traces tail --session inp_9c3a --format json | jq .payload
      """)

  @Option(help: ArgumentHelp("Of this MAS only.", valueName: "id"))
  var mas: String?
  @Option(help: ArgumentHelp("Of this session only.", valueName: "id"))
  var session: String?
  @Option(help: ArgumentHelp("Of this kind only, such as call_refused.", valueName: "kind"))
  var kind: String?
  @Option(help: ArgumentHelp("Begin after this event.", valueName: "sequence"))
  var after: Int64?
  @OptionGroup var traces: TracesOptions
  @Option(help: "How to print: text, or json with one object a line.")
  var format = OutputFormat.text

  func run() async throws {
    try await traces.follow([
      ("mas_id", mas), ("session", session), ("kind", kind), ("after", after.map(String.init)),
    ]) { event in
      switch format {
      case .json: print(event.canonicalText)
      case .text: print(TraceLine(event).text)
      }
    }
  }
}
