import CASACore
import Foundation
import Logging
import Storage
import Synchronization
import Traces

/// Fills a database with traces of thirty days and twenty systems, and asks it what the Explorer asks:
///
///     TimedTraces (sqlite DIRECTORY | postgres URL) EVENTS STEP...
///
/// The steps: `fill` stores all but the last hundred thousand events, many in a unit, without the rows that a runtime
/// deletes within the hour; `ingest` stores the rest as a runtime does, by many callers at once; `project` reads them
/// into what queries answer from; `query` asks. Each line it prints is a name, events a second, and in milliseconds the
/// median, what 95 and 99 of a hundred took at most, and the slowest, apart by tabs.
@main
enum TimedTraces {
  static let days = 30
  private static let eventsOfSession = 28
  private static let ingested = 100_000
  private static let callers = 256

  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 5, let events = Int(arguments[3]), events > 0 else {
      fatalError("usage: TimedTraces (sqlite DIRECTORY | postgres URL) EVENTS (fill | ingest | project | query)...")
    }
    let storage: any StorageDriver =
      arguments[1] == "sqlite"
      ? try SQLiteStorage(directory: arguments[2])
      : try PostgresStorage(url: arguments[2], logger: Logger(label: "bench"))
    try await storage.migrate(Schema.migrations)
    for step in arguments[4...] {
      switch step {
      case "fill": try await fill(storage, events: max(0, events - ingested), of: events)
      case "ingest": try await ingest(storage, events: min(events, ingested), of: events)
      case "project": try await project(storage)
      case "query":
        for timed in try await TimedQueries(storage: storage).times() { report(timed.name, nil, timed.times) }
      default: fatalError("expected fill, ingest, project or query; got \(step)")
      }
    }
    await storage.close()
  }

  // MARK: Steps

  private static func fill(_ storage: any StorageDriver, events: Int, of total: Int) async throws {
    if storage.isShared { try await makePartitions(storage) }
    guard events > 0 else { return }
    let together = 32
    let feed = Feed(first: 0, events: events, total: total, together: together)
    let start = ContinuousClock.now
    let stored = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var stored = 0
          while let numbers = feed.next() {
            let sessions = numbers.map { PlayedSession($0, beginsAt: feed.beginning(of: $0), keepsTokens: false) }
            // Sessions that go on side by side, as many do.
            for index in 0..<(sessions.map(\.units.count).max() ?? 0) {
              try await storage.commit(sessions.flatMap { index < $0.units.count ? $0.units[index] : [] })
            }
            stored += feed.did(sessions)
          }
          return stored
        }
      }
      return try await group.reduce(0, +)
    }
    report("fill", Double(stored) / ((ContinuousClock.now - start) / .seconds(1)), [])
  }

  private static func ingest(_ storage: any StorageDriver, events: Int, of total: Int) async throws {
    let row = try await storage.query(Statement("SELECT COUNT(*) AS count FROM user_inputs")).first
    let feed = Feed(first: Int(try row?.integer("count") ?? 0), events: events, total: total, together: 1)
    let start = ContinuousClock.now
    let (stored, times) = try await withThrowingTaskGroup(of: (Int, [Double]).self) { group in
      for _ in 0..<callers {
        group.addTask {
          var (stored, times) = (0, [Double]())
          while let numbers = feed.next() {
            let sessions = numbers.map { PlayedSession($0, beginsAt: feed.beginning(of: $0), keepsTokens: true) }
            for unit in sessions.flatMap(\.units) {
              let start = ContinuousClock.now
              try await storage.commit(unit)
              times.append((ContinuousClock.now - start) / .milliseconds(1))
            }
            stored += feed.did(sessions)
          }
          return (stored, times)
        }
      }
      return try await group.reduce(into: (0, [])) { $0 = ($0.0 + $1.0, $0.1 + $1.1) }
    }
    report("ingest", Double(stored) / ((ContinuousClock.now - start) / .seconds(1)), times)
  }

  private static func project(_ storage: any StorageDriver) async throws {
    let projector = TraceProjector(storage: storage)
    let start = ContinuousClock.now
    var (taken, times) = (0, [Double]())
    while true {
      let start = ContinuousClock.now
      let count = try await projector.advance()
      guard count > 0 else { break }
      taken += count
      times.append((ContinuousClock.now - start) / .milliseconds(1))
    }
    report("project", Double(taken) / ((ContinuousClock.now - start) / .seconds(1)), times)
  }

  /// A runtime makes one for each day as it comes.
  private static func makePartitions(_ storage: any StorageDriver) async throws {
    let today = Int64(Date().timeIntervalSince1970) / 86_400
    for day in (today - Int64(days))...today {
      let (from, to) = (day * 86_400_000, (day + 1) * 86_400_000)
      try await storage.commit([
        Statement(
          """
          CREATE TABLE IF NOT EXISTS trace_events_day_\(day) PARTITION OF trace_events FOR VALUES FROM (\(from)) TO (\(to))
          """)
      ])
    }
  }

  /// Which sessions are played, and when each begins.
  private final class Feed: Sendable {
    private struct State {
      var next: Int
      var stored = 0
    }

    private let events: Int
    private let together: Int
    private let start: Int64
    private let pause: Double
    private let state: Mutex<State>

    init(first: Int, events: Int, total: Int, together: Int) {
      self.events = events
      self.together = together
      let span = Int64(TimedTraces.days) * 86_400_000
      start = Int64(Date().timeIntervalSince1970 * 1000) - span
      pause = Double(span) / Double(total / TimedTraces.eventsOfSession)
      state = Mutex(State(next: first))
    }

    func next() -> Range<Int>? {
      state.withLock { state in
        guard state.stored < events else { return nil }
        defer { state.next += together }
        return state.next..<(state.next + together)
      }
    }

    func beginning(of number: Int) -> Timestamp { Timestamp(milliseconds: start + Int64(Double(number) * pause)) }

    func did(_ sessions: [PlayedSession]) -> Int {
      let events = sessions.reduce(0) { $0 + $1.events }
      state.withLock { $0.stored += events }
      return events
    }
  }

  // MARK: What is printed

  private static func report(_ name: String, _ rate: Double?, _ times: [Double]) {
    let sorted = times.sorted()
    func quantile(_ share: Double) -> String {
      sorted.isEmpty ? "" : String(format: "%.3f", sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
    }
    let quantiles = [0.5, 0.95, 0.99, 1].map(quantile)
    print(([name, rate.map { String(format: "%.0f", $0) } ?? ""] + quantiles).joined(separator: "\t"))
    fflush(nil)
  }
}
