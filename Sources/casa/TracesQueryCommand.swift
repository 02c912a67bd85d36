import AgentProtocols
import ArgumentParser
import CASACore

struct TracesQueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Find sessions, the newest first.",
    discussion: """
      Examples:
        casa traces query --verdict refused --from 2026-11-28T00:00:00Z
        casa traces query --tool transfer_money --text "dinner rent"
        casa traces query --reason token_spent --format json | jq -r .id
      """)

  @Option(help: ArgumentHelp("Of this MAS only.", valueName: "id"))
  var mas: String?
  @Option(help: ArgumentHelp("In which this app took part.", valueName: "id"))
  var app: String?
  @Option(help: ArgumentHelp("In which this tool was selected or called.", valueName: "name"))
  var tool: String?
  @Option(help: "allowed: nothing was refused; refused: something was.")
  var verdict: String?
  @Option(help: ArgumentHelp("In which something was refused for this reason.", valueName: "reason"))
  var reason: String?
  @Option(help: ArgumentHelp("Whose prompt holds these words.", valueName: "words"))
  var text: String?
  @Option(help: ArgumentHelp("That began at this moment or later.", valueName: "time"))
  var from: String?
  @Option(help: ArgumentHelp("That began before this moment.", valueName: "time"))
  var to: String?
  @Option(help: ArgumentHelp("How many at most, 1 to 10000.", valueName: "number"))
  var last = 50
  @OptionGroup var traces: TracesOptions
  @Option(help: "How to print: text, or json with one object a line.")
  var format = OutputFormat.text

  func run() async throws {
    guard (1...10_000).contains(last) else { throw ValidationError("--last must be 1 to 10000; got \(last)") }
    var rest = last
    var before: String?
    repeat {
      let page = try await traces.get(
        "/trace/sessions",
        [
          ("mas_id", mas), ("app_id", app), ("tool", tool), ("verdict", verdict), ("reason", reason), ("text", text),
          ("from", from), ("to", to), ("before", before), ("limit", String(min(rest, 1000))),
        ])
      let sessions = page["sessions"]?.array ?? []
      for session in sessions {
        switch format {
        case .json: print(session.canonicalText)
        case .text: print(Self.line(session))
        }
      }
      rest -= sessions.count
      before = page["next"]?.string
    } while before != nil && rest > 0
  }

  private static func line(_ session: JSONValue) -> String {
    func text(_ name: String) -> String { Terminal.visible(session[name]?.string ?? "-") }
    let refused = session["refused"]?.integer ?? 0
    let verdict = refused > 0 ? Terminal.refused("✗ \(refused) refused") : Terminal.allowed("✓")
    let reasons = (session["reasons"]?.array ?? []).compactMap { $0.string.map(Terminal.visible) }
    let prompt = session["prompt"]?.string.map { Terminal.visible(String($0.prefix(80))) } ?? "-"
    return [
      Terminal.quiet(text("started_at")), text("id"), text("mas"), verdict, reasons.joined(separator: ","), prompt,
    ]
    .filter { !$0.isEmpty }.joined(separator: "  ")
  }
}
