import ArgumentParser
import CASACore

struct TracesPruneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Forget what is old: events, flows, alerts, figures, and ended sessions with their prompts.",
    discussion: """
      Takes the administrator's credential. That it was done is an event of the trace itself.

      Example:
        casa traces prune --older-than 30 --credential-file data/admin-credential
      """)

  @Option(help: ArgumentHelp("How many days to keep, 1 to 36500.", valueName: "days"))
  var olderThan: Int
  @OptionGroup var traces: TracesOptions

  func run() async throws {
    guard (1...36_500).contains(olderThan) else {
      throw ValidationError("--older-than must be 1 to 36500 days; got \(olderThan)")
    }
    let limit = WallClock.system.now() - .seconds(olderThan * 86_400)
    try await traces.delete("/trace/events", [("before", limit.rfc3339)])
    print("everything before \(limit.rfc3339) is forgotten")
  }
}
