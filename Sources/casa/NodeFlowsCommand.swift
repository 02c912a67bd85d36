import AgentProtocols
import ArgumentParser
import CASACore
import Foundation
import NodeGuard

struct NodeFlowsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flows",
    abstract: "Show the latest connections and refusals.",
    discussion: """
      Examples:
        casa node flows
        casa node flows --workload agent --refused --last 20
        casa node flows --format json | jq .remote
      """)

  @Option(help: ArgumentHelp("Of this workload only.", valueName: "name"))
  var workload: String?

  @Flag(help: "Refusals only.")
  var refused = false

  @Option(help: ArgumentHelp("How many of the latest, 1 to 100000.", valueName: "number"))
  var last = 50

  @OptionGroup var node: NodeOptions
  @Option(help: "How to print: text or json.")
  var format = OutputFormat.text

  func run() throws {
    guard (1...100_000).contains(last) else { throw ValidationError("--last must be 1 to 100000; got \(last)") }
    var shown: [Substring] = []
    for path in FlowLog.paths(in: node.state) {
      guard let data = FileManager.default.contents(atPath: path) else { continue }
      for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
        // The last line may be written just now.
        guard let json = try? JSONValue(parsing: Array(line.utf8)) else { continue }
        if let workload, json["workload"]?.string != workload { continue }
        if refused, json["kind"]?.string != "flow_refused" { continue }
        shown.append(line)
      }
      if shown.count > last { shown.removeFirst(shown.count - last) }
    }
    for line in shown {
      switch format {
      case .json: print(line)
      case .text: if let json = try? JSONValue(parsing: Array(line.utf8)) { print(Self.text(json)) }
      }
    }
  }

  private static func text(_ event: JSONValue) -> String {
    func field(_ name: String) -> String { event[name]?.string ?? "-" }
    let seconds = (event["at"]?.integer).map { Date(timeIntervalSince1970: Double($0) / 1000) }
    let time = seconds?.formatted(.iso8601) ?? "-"
    var text =
      "\(time)  \(field("kind"))  \(field("workload"))  \(field("direction")) \(field("protocol")) \(field("remote"))  \(field("reason"))"
    if let rule = event["rule"]?.integer { text += " \(rule)" }
    if let out = event["bytes_out"]?.integer, let into = event["bytes_in"]?.integer {
      text += "  \(out) B out, \(into) B in"
    }
    if let token = event["token_sha256"]?.string { text += "  token \(token.prefix(12))" }
    return text
  }
}
