import AgentProtocols
import ArgumentParser
import CASACore

struct TracesShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show one session: its prompt, tokens, calls with every check's answer, and flows.",
    discussion: """
      Examples:
        casa traces show inp_9c3a51e07d2b4f68a1b2c3d4e5f60789
        casa traces show inp_9c3a51e07d2b4f68a1b2c3d4e5f60789 --format json | jq .tokens
      """)

  @Argument(help: "The session's id, as `casa traces query` tells it.")
  var id: String
  @OptionGroup var traces: TracesOptions
  @Option(help: "How to print: text or json.")
  var format = OutputFormat.text

  func run() async throws {
    guard UserInputID(validating: id) != nil else {
      throw ValidationError("a session's id is 1 to 128 of A-Z a-z 0-9 _ - .; got '\(id)'")
    }
    var told = try await traces.get("/trace/sessions/\(id)")
    var events = told["events"]?.array ?? []
    var next = told["next_after"]?.integer
    while let after = next {
      let page = try await traces.get("/trace/events", [("session", id), ("after", String(after)), ("limit", "1000")])
      let more = page["events"]?.array ?? []
      events += more
      next = more.count == 1000 ? page["next_after"]?.integer : nil
    }
    if case .object(var members) = told {
      members["events"] = .array(events)
      members["next_after"] = nil
      told = .object(members)
    }
    switch format {
    case .json: print(told.canonicalText)
    case .text: printText(told, events)
    }
  }

  private func printText(_ told: JSONValue, _ events: [JSONValue]) {
    func text(_ name: String) -> String { Terminal.visible(told["session"]?[name]?.string ?? "-") }
    let names = (told["apps"]?.object ?? [:]).compactMapValues { $0["name"]?.string }
    print("session  \(text("id"))  \(text("mas"))  trace \(text("trace_id"))")
    print("prompt   \(text("prompt"))")
    print("")
    for event in events {
      let line = TraceLine(event, names: names)
      print(line.text)
      for check in line.checks { print(check) }
    }
    let tokens = told["tokens"]?.array ?? []
    if !tokens.isEmpty {
      print("\ntokens")
      Self.printTokens(tokens, below: nil, names: names, depth: 1)
    }
    let flows = told["flows"]?.array ?? []
    if !flows.isEmpty { print("\nflows") }
    for flow in flows {
      func field(_ name: String) -> String { Terminal.visible(flow[name]?.string ?? "-") }
      var line = "  \(field("opened_at"))  \(field("workload"))  \(field("direction"))  \(field("remote"))"
      if let refused = flow["refused"]?.string { line += "  " + Terminal.refused("✗ " + Terminal.visible(refused)) }
      for token in flow["tokens"]?.array ?? [] { line += "  token \((token["sha256"]?.string ?? "").prefix(12))" }
      print(line)
    }
    for alert in told["alerts"]?.array ?? [] {
      print(
        "\n" + Terminal.refused("! \(Terminal.visible(alert["kind"]?.string ?? ""))") + "  "
          + Terminal.visible(alert["explanation"]?.string ?? ""))
    }
  }

  private static func printTokens(_ tokens: [JSONValue], below parent: String?, names: [String: String], depth: Int) {
    // No token is its own ancestor, and chains are short.
    guard depth < 32 else { return }
    for token in tokens where token["parent_sha256"]?.string == parent {
      let hash = token["sha256"]?.string ?? ""
      let holder = token["app_id"]?.string.map { names[$0] ?? $0 } ?? "-"
      var line =
        String(repeating: "  ", count: depth) + "\(hash.prefix(12))  \(token["scope"]?.string ?? "")  \(holder)"
      if let tool = token["tool"]?.string { line += "  " + Terminal.visible(tool) }
      if token["spent_at"]?.string != nil { line += Terminal.quiet("  spent") }
      if token["revoked_at"]?.string != nil { line += Terminal.refused("  revoked") }
      print(line)
      printTokens(tokens, below: hash, names: names, depth: depth + 1)
    }
  }
}
