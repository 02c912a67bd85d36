import Administration
import AgentProtocols
import AsyncHTTPClient
import CASACore
import Foundation
import NIOCore
import NIOHTTP1
import Sidecar
import Subprocess
import SystemPackage

/// Plays the scenarios on a running system and holds what happened against what must.
struct DemoPlay: Sendable {
  private static let appTimeout = Duration.seconds(30)
  /// How long the trace may take to show what a scenario must show.
  private static let traceTimeout = Duration.seconds(5)
  /// After this long without a new event a scenario's trace is complete.
  private static let quiet = Duration.milliseconds(300)

  private let options: Demo.Options
  private let ports: DemoPorts
  private let running: LocalStack.Running
  private let apiKey: String
  private let output: @Sendable (String) -> Void
  private let names: [AppID: Name]
  private let thief: StolenTokens
  private let table: DemoTable

  /// - Throws: `LocalModeError` when the apps' secrets can't be read.
  init(
    options: Demo.Options, ports: DemoPorts, running: LocalStack.Running, apiKey: String,
    output: @escaping @Sendable (String) -> Void
  ) throws(LocalModeError) {
    self.options = options
    self.ports = ports
    self.running = running
    self.apiKey = apiKey
    self.output = output
    names = Dictionary(running.apps.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
    table = DemoTable(isColoured: options.isColoured)
    func identity(_ name: String) throws(LocalModeError) -> ClientIdentity {
      guard let app = Name(name), let id = running.apps[app],
        let secret = SystemFiles.read(running.files.app(name).clientSecret)
      else { throw LocalModeError("the credentials of \(name) can't be read") }
      return ClientIdentity(id: id, secret: secret)
    }
    thief = StolenTokens(
      runtime: running.administration, client: try identity("client"), agent: try identity("agent"))
  }

  /// Waits until the apps answer and the bank's tools are approved.
  func awaitApps() async throws {
    var urls = ["http://127.0.0.1:\(ports.bank)/healthz", "http://127.0.0.1:\(ports.agent)/healthz"]
    if options.llm == nil { urls.append("http://127.0.0.1:\(ports.llm)/healthz") }
    for url in urls {
      try await waitUntil("\(url) answers; see \(running.files.directory)/logs", within: Self.appTimeout) {
        await fetch(url) != nil
      }
    }
    guard let bank = Name("bank").flatMap({ running.apps[$0] }) else { return }
    try await waitUntil("the bank's tools are approved", within: Self.appTimeout) {
      let tools = try await running.administration.get("/apps/\(bank)/tools")["tools"]?.array ?? []
      return !tools.isEmpty && tools.allSatisfy { $0["status"]?.string == "pinned" }
    }
  }

  func run() async throws -> Demo.Outcome {
    let llm =
      options.llm.map { "the LLM at \($0.baseURL)" }
      ?? "a scripted stand-in for an LLM (set OPENAI_BASE_URL and OPENAI_API_KEY for a real one)"
    output("CASA demo: a client, an agent and a bank, each behind its own Envoy, with \(llm).")
    var after = try await events(after: 0).last?["sequence"]?.integer ?? 0
    var reports: [JSONValue] = []
    var held = 0
    var failed = 0
    for scenario in DemoScenario.all {
      let (report, failures, last) = try await play(scenario, after: after)
      after = last
      reports.append(report)
      if failures.isEmpty { held += 1 } else { failed += 1 }
    }
    if options.llm == nil {
      let isClean = await llmSawNoToken()
      output("")
      output(
        table.expectation("the LLM's host got no token of CASA, and the API key only from the sidecar", held: isClean))
      reports.append(["title": "What the LLM's host saw", "held": .bool(isClean)])
      if isClean { held += 1 } else { failed += 1 }
    }
    output("\n\(held) expectations held, \(failed) failed")
    let json: JSONValue = [
      "scenarios": .array(reports), "held": .number(Double(held)), "failed": .number(Double(failed)),
      "llm": .string(options.llm == nil ? "scripted stand-in" : "real"),
    ]
    return Demo.Outcome(json: json.canonicalText, held: held, failed: failed)
  }

  // MARK: One scenario

  private func play(
    _ scenario: DemoScenario, after start: Int64
  ) async throws -> (report: JSONValue, failures: [String], last: Int64) {
    output(table.title(scenario.title, scenario.story, prompt: scenario.prompt))
    let before = await executed().count
    let acting = Task { try await act(scenario) }
    defer { acting.cancel() }
    var last = start
    var rows: [DemoRow] = []
    var refusals: Set<String> = []
    var isActing = true
    var quietSince = ContinuousClock.now
    var actedAt = ContinuousClock.now
    while true {
      let wasActing = isActing
      if isActing, await isDone(acting, within: .milliseconds(50)) {
        isActing = false
        actedAt = .now
      }
      let fresh = try await events(after: last)
      for event in fresh {
        last = event["sequence"]?.integer ?? last
        for row in DemoRow.rows(of: event, apps: names) {
          rows.append(row)
          output(table.row(row))
          if row.verdict == .refused { refusals.insert(row.reason) }
        }
      }
      if !fresh.isEmpty || wasActing { quietSince = .now }
      let isQuiet = ContinuousClock.now - quietSince > Self.quiet
      let isComplete = scenario.reasons.isSubset(of: refusals) || ContinuousClock.now - actedAt > Self.traceTimeout
      if !isActing, isQuiet, isComplete { break }
      if !isActing { try await Task.sleep(for: .milliseconds(50)) }
    }
    try await acting.value
    let changes = Array(await executed().dropFirst(before))
    let failures = failures(scenario, refusals: refusals, changes: changes)
    let what =
      scenario.refusals.isEmpty
      ? "all calls passed" : "refused with " + scenario.reasons.sorted().joined(separator: ", ")
    let done =
      scenario.executed.isEmpty
      ? "the bank changed nothing" : "the bank did " + scenario.executed.joined(separator: ", ")
    output(
      table.expectation(
        failures.isEmpty ? "\(what); \(done)" : failures.joined(separator: "; "), held: failures.isEmpty))
    let report: JSONValue = [
      "title": .string(scenario.title), "story": .string(scenario.story), "prompt": .string(scenario.prompt),
      "held": .bool(failures.isEmpty), "failures": .array(failures.map(JSONValue.string)),
      "rows": .array(rows.map(\.json)), "executed": .array(changes.map(JSONValue.string)),
    ]
    return (report, failures, last)
  }

  private func failures(_ scenario: DemoScenario, refusals: Set<String>, changes: [String]) -> [String] {
    var failures: [String] = []
    if refusals != scenario.reasons {
      failures.append("expected refusals \(scenario.reasons.sorted()), saw \(refusals.sorted())")
    }
    if changes != scenario.executed {
      failures.append("expected the bank to do \(scenario.executed), it did \(changes)")
    }
    return failures
  }

  /// Whether `task` ends within `duration`, without ending it.
  private func isDone(_ task: Task<Void, any Error>, within duration: Duration) async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        _ = await task.result
        return true
      }
      group.addTask {
        try? await Task.sleep(for: duration)
        return false
      }
      let first = await group.next() ?? false
      group.cancelAll()
      return first
    }
  }

  private func act(_ scenario: DemoScenario) async throws {
    switch scenario.act {
    case .faithful: try await sendPrompt(scenario.prompt, metadata: [:])
    case .misbehaving(let way): try await sendPrompt(scenario.prompt, metadata: ["misbehave": .string(way)])
    case .direct(let token, let arguments, let times):
      let headers = try await thief.headers(with: token, prompt: scenario.prompt)
      for _ in 0..<times {
        try await sendPrompt(
          scenario.prompt,
          metadata: [
            "misbehave": "direct", "target": .string("http://127.0.0.1:\(ports.bankEntrance)/mcp"),
            "tool": "transfer_money", "arguments": arguments, "headers": headers,
          ])
      }
    }
  }

  /// As the user's client does it: the example's own client program.
  private func sendPrompt(_ prompt: String, metadata: JSONValue) async throws {
    let result = try await Subprocess.run(
      .path(FilePath(options.python)),
      arguments: [
        "\(options.example)/client.py", "--json", "--agent-url", "http://127.0.0.1:\(ports.clientToAgent)/",
        "--prompt", prompt, "--metadata", metadata.canonicalText,
      ], output: .string(limit: 4 << 20), error: .string(limit: 1 << 16))
    guard result.terminationStatus.isSuccess else {
      throw LocalModeError("the client could not ask the agent: \(result.standardError)\(result.standardOutput)")
    }
  }

  // MARK: What happened

  private func events(after sequence: Int64) async throws -> [JSONValue] {
    var all: [JSONValue] = []
    var last = sequence
    while true {
      let page = try await running.administration.get("/trace/events?after=\(last)&limit=1000")["events"]?.array ?? []
      all += page
      guard page.count == 1000, let next = page.last?["sequence"]?.integer else { return all }
      last = next
    }
  }

  /// What the bank itself says that it changed.
  private func executed() async -> [String] {
    let ledger = await fetch("http://127.0.0.1:\(ports.bank)/ledger")
    return (ledger?["executed"]?.array ?? []).compactMap { $0["name"]?.string }
  }

  private func llmSawNoToken() async -> Bool {
    guard let seen = await fetch("http://127.0.0.1:\(ports.llm)/requests")?["requests"]?.array, !seen.isEmpty else {
      return false
    }
    return seen.allSatisfy { request in
      (request["headers"]?.array ?? []).allSatisfy { field in
        let name = field.array?.first?.string ?? ""
        let value = field.array?.last?.string ?? ""
        if name == "authorization" { return value == "Bearer " + apiKey }
        return !value.contains("eyJ") && !["traceparent", "tracestate"].contains(name)
      }
    }
  }

  private func fetch(_ url: String) async -> JSONValue? {
    var request = HTTPClientRequest(url: url)
    request.method = .GET
    guard let response = try? await running.administration.http.execute(request, timeout: .seconds(5)),
      response.status == .ok, let body = try? await response.body.collect(upTo: 4 << 20)
    else { return nil }
    return try? JSONValue(
      parsing: Array(body.readableBytesView),
      limits: JSONLimits(maximumBytes: 4 << 20, maximumDepth: 64, maximumNodes: 200_000))
  }
}
