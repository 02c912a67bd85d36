import CASACore
import Foundation
import Logging
import Storage
import TestPostgres
import Testing

@Suite("The PostgreSQL driver")
struct PostgresStorageTests {
  private static let day: Int64 = 86_400_000

  private func open(_ url: String) throws -> PostgresStorage {
    try PostgresStorage(url: url, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  private func event(at milliseconds: Int64, key: String? = nil) -> Statement {
    Statement(
      """
      INSERT INTO trace_events (at, kind, payload, idempotency_key) VALUES ($1, 'test', '{}', $2)
      ON CONFLICT DO NOTHING
      """, [.integer(milliseconds), .optional(key)])
  }

  private var now: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

  @Test("refuses a text with the character NUL, and only that unit")
  func unstorable() async throws {
    let storage = try open(try PostgresServer.running().newDatabase())
    try await storage.migrate([Migration("first", ["CREATE TABLE things (id TEXT PRIMARY KEY)"])])
    func insertion(_ id: String) -> Statement { Statement("INSERT INTO things (id) VALUES ($1)", [.text(id)]) }
    async let good: Void = storage.commit([insertion("good")])
    await #expect(throws: StorageError.unstorable) { try await storage.commit([insertion("a"), insertion("b\0c")]) }
    try await good
    await #expect(throws: StorageError.unstorable) {
      try await storage.query(Statement("SELECT id FROM things WHERE id = $1", [.text("\0")]))
    }
    #expect(try await storage.query(Statement("SELECT id FROM things")).map { try $0.text("id") } == ["good"])
    await storage.close()
  }

  @Test("says nothing of the arguments, the statement or the password in its errors")
  func silence() async throws {
    let url = try PostgresServer.running().newDatabase()
    let storage = try open(url)
    for statement in [
      Statement("SELECT 1 FROM secret_table WHERE secret = $1", [.text("secret")]),
      Statement("SELECT CAST($1 AS BIGINT) AS n", [.text("secret")]), Statement("SELECT 'secret"),
    ] {
      for attempt in [{ _ = try await storage.query(statement) }, { try await storage.commit([statement]) }] {
        await #expect { try await attempt() } throws: { !"\($0)".contains("secret") && $0 is StorageError }
      }
    }
    await storage.close()
    for wrong in ["postgres://u:secret%zz@/x", "postgres://u:secret@127.0.0.1:1/x", "\(url)&password=secret&port=1"] {
      await #expect {
        let storage = try open(wrong)
        try await storage.migrate([])
      } throws: {
        !"\($0)".contains("secret") && $0 is StorageError
      }
    }
  }

  @Test("goes on after a table that it reads was changed by somebody else")
  func changedTable() async throws {
    let url = try PostgresServer.running().newDatabase()
    let storage = try open(url)
    try await storage.migrate([Migration("first", ["CREATE TABLE things (id BIGINT PRIMARY KEY)"])])
    let insertion = Statement("INSERT INTO things (id) VALUES ((SELECT COUNT(*) FROM things)) RETURNING *")
    for _ in 0..<8 {
      try await storage.commit([insertion])
      _ = try await storage.query(Statement("SELECT * FROM things"))
    }
    try PostgresServer.running().execute("ALTER TABLE things ADD COLUMN note TEXT", at: url)
    try await storage.commit([insertion])
    for _ in 0..<8 {
      let rows = try await storage.query(Statement("SELECT * FROM things"))
      #expect(rows.count == 9)
      #expect(try rows.first?.optionalText("note") == nil)
    }
    await storage.close()
  }

  @Test("prepares more statements than it keeps")
  func manyStatements() async throws {
    let storage = try open(try PostgresServer.running().newDatabase())
    for number in 0..<600 {
      let rows = try await storage.query(Statement("SELECT \(number) AS n"))
      #expect(try rows.first?.integer("n") == Int64(number))
      try await storage.commit([Statement("SELECT \(number) AS n")])
    }
    await storage.close()
  }

  @Test("shows the units of several runtimes in the order of their serial keys", .timeLimit(.minutes(1)))
  func order() async throws {
    let url = try PostgresServer.running().newDatabase()
    let first = try open(url)
    let second = try open(url)
    async let one: Void = first.migrate(Schema.migrations)
    async let two: Void = second.migrate(Schema.migrations)
    _ = try await (one, two)
    let count = 1_000
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<count {
        let storage = number.isMultiple(of: 2) ? first : second
        group.addTask { try await storage.commit([event(at: now), event(at: now - 40 * Self.day)]) }
      }
      // Reads on from the last event it saw, as a follower of the trace does.
      group.addTask {
        var last: Int64 = 0
        var seen = 0
        while seen < 2 * count {
          let rows = try await first.query(
            Statement(
              "SELECT sequence FROM trace_events WHERE sequence > $1 ORDER BY sequence LIMIT 500", [.integer(last)]))
          seen += rows.count
          last = try rows.last?.integer("sequence") ?? last
          try Task.checkCancellation()
        }
      }
      try await group.waitForAll()
    }
    await first.close()
    await second.close()
  }

  @Test("keeps trace events by the day, those of odd times too, and drops whole days")
  func partitions() async throws {
    let url = try PostgresServer.running().newDatabase()
    let server = try PostgresServer.running()
    let storage = try open(url)
    try await storage.migrate(Schema.migrations)
    let today = now / Self.day
    #expect(
      try server.execute("SELECT COUNT(*) FROM pg_inherits WHERE inhparent = 'trace_events'::regclass", at: url) == "4")
    let farAway = (today + 400) * Self.day
    let moments = [now, (today + 1) * Self.day, now - 30 * Self.day, 0, farAway]
    try await storage.commit(moments.map { event(at: $0) })
    #expect(try server.execute("SELECT COUNT(*) FROM trace_events_default", at: url) == "3")
    #expect(try server.execute("SELECT COUNT(*) FROM trace_events_day_\(today)", at: url) == "1")
    // A day without a partition whose events came in all the same: they move to where they belong.
    try server.execute("DROP TABLE trace_events_day_\(today + 1)", at: url)
    try await storage.commit([event(at: (today + 1) * Self.day)])
    try await storage.maintain()
    #expect(try server.execute("SELECT COUNT(*) FROM trace_events_day_\(today + 1)", at: url) == "1")
    try await storage.deleteTraceEvents(before: Timestamp(milliseconds: (today + 1) * Self.day))
    #expect(try server.execute("SELECT to_regclass('trace_events_day_\(today)')", at: url) == nil)
    let left = try await storage.query(Statement("SELECT at FROM trace_events ORDER BY at"))
    #expect(try left.map { try $0.integer("at") } == [(today + 1) * Self.day, farAway])
    await storage.close()
  }

  @Test("waits for the disk although the server's default is not to")
  func synchronousCommit() async throws {
    let url = try PostgresServer.running().newDatabase()
    let name = try #require(try PostgresServer.running().execute("SELECT current_database()", at: url))
    try PostgresServer.running().execute("ALTER DATABASE \(name) SET synchronous_commit = off", at: url)
    let storage = try open(url)
    try await storage.migrate([Migration("first", ["CREATE TABLE seen (value TEXT)"])])
    try await storage.commit([Statement("INSERT INTO seen SELECT current_setting('synchronous_commit')")])
    #expect(try await storage.query(Statement("SELECT value FROM seen")).map { try $0.text("value") } == ["on"])
    await storage.close()
  }
}
