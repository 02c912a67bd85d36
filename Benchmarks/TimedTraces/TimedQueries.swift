import CASACore
import Storage
import Traces

/// What is asked of the traces, each with other values each time.
struct TimedQueries {
  static let runs = 200

  private let storage: any StorageDriver
  private let reader: TraceReader

  init(storage: any StorageDriver) {
    self.storage = storage
    reader = TraceReader(storage: storage, directory: Systems())
  }

  private static let everything = ReadAccess(name: "bench", systems: nil, readsPrompts: true)
  private static let twoSystems = ReadAccess(
    name: "bench", systems: [Systems.system(3), Systems.system(11)], readsPrompts: true)

  /// What there is to be asked for.
  private struct Known: Sendable {
    let sessions: Int
    let first: Timestamp
    let now: Timestamp
    let last: Int64
    let hashes: [String]
    let decisions: [String]
  }

  private func known() async throws -> Known {
    func number(_ sql: String) async throws -> Int64 {
      try await storage.query(Statement("SELECT COALESCE((\(sql)), 0) AS number")).first?.integer("number") ?? 0
    }
    var random = SeededGenerator(seed: 7)
    var (hashes, decisions) = ([String](), [String]())
    for _ in 0..<Self.runs {
      // The next one after a random place.
      let hash = try await storage.query(
        Statement("SELECT sha256 FROM trace_tokens WHERE sha256 >= $1 ORDER BY sha256 LIMIT 1", [.text(random.hex(8))]))
      if let row = hash.first { hashes.append(try row.text("sha256")) }
      let facet = try await storage.query(
        Statement(
          "SELECT facet FROM trace_facets WHERE facet >= $1 AND facet < 'decisioo' ORDER BY facet LIMIT 1",
          [.text("decision=dec_" + random.hex(8))]))
      if let row = facet.first { decisions.append(String(try row.text("facet").dropFirst("decision=".count))) }
    }
    return Known(
      sessions: Int(try await number("SELECT COUNT(*) FROM trace_sessions")),
      first: Timestamp(milliseconds: try await number("SELECT MIN(started_at) FROM trace_sessions")),
      now: Timestamp(milliseconds: try await number("SELECT MAX(last_at) FROM trace_sessions")) + .seconds(1),
      last: try await reader.lastSequence(), hashes: hashes, decisions: decisions)
  }

  func times() async throws -> [(name: String, times: [Double])] {
    let known = try await known()
    guard known.sessions > 0, !known.hashes.isEmpty, !known.decisions.isEmpty else {
      fatalError("nothing was projected")
    }
    var all: [(name: String, times: [Double])] = []
    func time(
      _ name: String, _ run: (inout SeededGenerator, Known) async throws -> Void
    ) async throws {
      var times: [Double] = []
      for number in 0..<Self.runs {
        var random = SeededGenerator(seed: 1_000_000 + number)
        let start = ContinuousClock.now
        try await run(&random, known)
        times.append((ContinuousClock.now - start) / .milliseconds(1))
      }
      all.append((name, times))
    }
    func list(
      _ name: String, _ access: ReadAccess = Self.everything, _ parameters: (inout SeededGenerator) -> [String: String]
    ) async throws {
      try await time("sessions_" + name) { random, _ in
        let query = try TraceQuery(parameters(&random), known: TraceReader.sessionParameters, limit: 50)
        _ = try await reader.sessions(query, access)
      }
    }
    func place(_ random: inout SeededGenerator) -> String { String(Int64.random(in: 1...known.last, using: &random)) }

    try await list("all") { _ in [:] }
    try await list("all_deep") { ["before": place(&$0)] }
    try await list("system") { ["mas_id": Self.system(&$0)] }
    try await list("system_deep") { ["mas_id": Self.system(&$0), "before": place(&$0)] }
    try await list("tool") { ["tool": Self.tool(&$0)] }
    try await list("tool_deep") { ["tool": Self.tool(&$0), "before": place(&$0)] }
    try await list("reason") { ["reason": Self.reason(&$0)] }
    try await list("refused") { _ in ["verdict": "refused"] }
    try await list("allowed") { _ in ["verdict": "allowed"] }
    try await list("refused_deep") { ["verdict": "refused", "before": place(&$0)] }
    try await list("word") { ["text": Self.word(&$0)] }
    try await list("two_words") { ["text": Self.word(&$0) + " " + Self.word(&$0)] }
    try await list("rare_word") {
      ["text": PlayedSession.rareWord(Int.random(in: 0..<known.sessions, using: &$0))]
    }
    try await list("day") { random in
      let span = max(86_400_001, known.now.milliseconds - known.first.milliseconds)
      let from = known.first.milliseconds + Int64.random(in: 0..<(span - 86_400_000), using: &random)
      return ["from": String(from), "to": String(from + 86_400_000)]
    }
    try await list("system_tool_reason") {
      ["mas_id": Self.system(&$0), "tool": Self.tool(&$0), "reason": Self.reason(&$0)]
    }
    try await list("of_two_systems", Self.twoSystems) { _ in [:] }
    try await list("of_two_systems_word", Self.twoSystems) { ["text": Self.word(&$0)] }

    try await time("session") { random, known in
      let number = Int.random(in: 0..<known.sessions, using: &random)
      guard try await reader.session(PlayedSession.id(number), Self.everything) != nil else {
        fatalError("a session is missing")
      }
    }
    for (name, days) in [("day", 1), ("30_days", 30)] {
      let from = ["from": String((known.now - .seconds(days * 86_400)).milliseconds)]
      try await time("statistics_all_" + name) { _, known in
        let query = try TraceQuery(
          from.merging(["to": String(known.now.milliseconds)]) { $1 }, known: TraceReader.statisticsParameters)
        _ = try await reader.statistics(query, Self.everything, now: known.now)
      }
      try await time("statistics_system_" + name) { random, known in
        let query = try TraceQuery(
          from.merging(["to": String(known.now.milliseconds), "mas_id": Self.system(&random)]) { $1 },
          known: TraceReader.statisticsParameters)
        _ = try await reader.statistics(query, Self.everything, now: known.now)
      }
      try await time("graph_" + name) { random, known in
        let query = try TraceQuery(
          from.merging(["to": String(known.now.milliseconds), "mas_id": Self.system(&random)]) { $1 },
          known: TraceReader.statisticsParameters)
        _ = try await reader.graph(query, Self.everything, now: known.now)
      }
    }
    try await time("dashboard") { _, known in
      let span = ["from": String((known.now - .seconds(30 * 86_400)).milliseconds)]
      _ = try await reader.statistics(
        TraceQuery(span, known: TraceReader.statisticsParameters), Self.everything, now: known.now)
      _ = try await reader.alerts(TraceQuery(["limit": "8"], known: TraceReader.alertParameters), Self.everything)
    }
    try await time("totals") { _, known in _ = try await reader.totals(Self.everything, now: known.now) }
    try await time("alerts") { _, _ in
      _ = try await reader.alerts(TraceQuery([:], known: TraceReader.alertParameters, limit: 50), Self.everything)
    }
    try await time("alerts_system") { random, _ in
      let query = try TraceQuery(["mas_id": Self.system(&random)], known: TraceReader.alertParameters, limit: 50)
      _ = try await reader.alerts(query, Self.everything)
    }
    try await time("search_hash") { random, known in
      _ = try await reader.search(known.hashes[Int.random(in: known.hashes.indices, using: &random)], Self.everything)
    }
    try await time("search_decision") { random, known in
      _ = try await reader.search(
        known.decisions[Int.random(in: known.decisions.indices, using: &random)], Self.everything)
    }
    try await time("search_word") { random, _ in _ = try await reader.search(Self.word(&random), Self.everything) }
    try await time("search_tool") { random, _ in _ = try await reader.search(Self.tool(&random), Self.everything) }
    try await time("events_newest") { random, known in
      let after = max(0, known.last - Int64.random(in: 1...200, using: &random))
      _ = try await reader.events(
        TraceQuery(["after": String(after)], known: TraceReader.eventParameters), Self.everything)
    }
    try await time("events_anywhere") { random, _ in
      _ = try await reader.events(
        TraceQuery(["after": place(&random)], known: TraceReader.eventParameters), Self.everything)
    }
    try await time("events_kind") { random, _ in
      _ = try await reader.events(
        TraceQuery(["after": place(&random), "kind": "token_exfiltration"], known: TraceReader.eventParameters),
        Self.everything)
    }
    return all
  }

  // MARK: Values

  private static func system(_ random: inout SeededGenerator) -> String {
    Systems.system(random.skewed(Systems.count)).rawValue
  }

  private static func tool(_ random: inout SeededGenerator) -> String {
    let tools = Systems.tools[random.skewed(Systems.tools.count)]
    return tools[random.skewed(tools.count)]
  }

  private static func reason(_ random: inout SeededGenerator) -> String {
    PlayedSession.reasons[random.skewed(PlayedSession.reasons.count)]
  }

  private static func word(_ random: inout SeededGenerator) -> String {
    PlayedSession.word(random.skewed(PlayedSession.words))
  }
}
