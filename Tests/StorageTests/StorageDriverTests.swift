import CASACore
import Storage
import TestPostgres
import Testing

@Suite("A storage driver")
struct StorageDriverTests {
  private static let schema = Migration(
    "first",
    [
      "CREATE TABLE things (id TEXT PRIMARY KEY, value BIGINT)",
      Migration.Change(
        sqlite: "CREATE TABLE bits (id TEXT PRIMARY KEY, data BLOB)",
        postgres: "CREATE TABLE bits (id TEXT PRIMARY KEY, data BYTEA)"),
    ])

  /// A storage with an empty table.
  private func open(_ database: TestDatabase) async throws -> any StorageDriver {
    let storage = try database.open()
    try await storage.migrate([Self.schema])
    return storage
  }

  private func insert(_ id: String, _ value: Int64 = 0, expectedChanges: Int? = 1) -> Statement {
    Statement(
      "INSERT INTO things (id, value) VALUES ($1, $2)", [.text(id), .integer(value)], expectedChanges: expectedChanges)
  }

  private func count(_ storage: any StorageDriver) async throws -> Int64 {
    try #require(try await storage.query(Statement("SELECT COUNT(*) AS n FROM things")).first).integer("n")
  }

  private func ids(_ storage: any StorageDriver) async throws -> [String] {
    try await storage.query(Statement("SELECT id FROM things ORDER BY id")).map { try $0.text("id") }
  }

  @Test("gives back each kind of value", arguments: Driver.allCases)
  func values(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    let odd = "é😀'\"; DROP TABLE things; --"
    try await storage.commit([
      insert(odd, .min), Statement("INSERT INTO things (id, value) VALUES ($1, $2)", [.text("null"), .null]),
      Statement("INSERT INTO bits (id, data) VALUES ($1, $2)", [.text("b"), .blob([0, 255, 1])]),
    ])
    let rows = try await storage.query(Statement("SELECT * FROM things WHERE id = $1", [.text(odd)]))
    #expect(try rows.map { try $0.text("id") } == [odd])
    #expect(try rows.map { try $0.integer("value") } == [.min])
    let null = try #require(try await storage.query(Statement("SELECT * FROM things WHERE id = 'null'")).first)
    #expect(try null.optionalInteger("value") == nil)
    #expect(throws: StorageError.self) { try null.integer("value") }
    #expect(throws: StorageError.self) { try null.text("nothing") }
    #expect(throws: StorageError.self) { try null.blob("id") }
    #expect(throws: StorageError.self) { try null.optionalInteger("id") }
    #expect(try null.optionalText("id") == "null")
    let bits = try #require(try await storage.query(Statement("SELECT * FROM bits")).first)
    #expect(try bits.blob("data") == [0, 255, 1])
    await storage.close()
  }

  @Test("undoes a whole unit when a statement changes another number of rows", arguments: Driver.allCases)
  func expectedChanges(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    try await storage.commit([insert("kept", 1)])
    let update = Statement("UPDATE things SET value = 2 WHERE id = $1", [.text("missing")], expectedChanges: 1)
    await #expect(throws: StorageError.unexpectedChanges(statement: 2, expected: 1, actual: 0)) {
      try await storage.commit([
        insert("a"), Statement("UPDATE things SET value = 9 WHERE id = 'kept'", expectedChanges: 1), update,
        insert("b"),
      ])
    }
    #expect(try await ids(storage) == ["kept"])
    let rows = try await storage.query(Statement("SELECT value FROM things"))
    #expect(try rows.map { try $0.integer("value") } == [1])
    await #expect(throws: StorageError.unexpectedChanges(statement: 0, expected: 0, actual: 1)) {
      try await storage.commit([insert("a", expectedChanges: 0)])
    }
    // A count that nobody expects is no reason to undo.
    try await storage.commit([Statement("UPDATE things SET value = 2 WHERE id = 'missing'")])
    await storage.close()
  }

  @Test("answers a conflict, and undoes the unit", arguments: Driver.allCases)
  func conflict(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    try await storage.commit([insert("a")])
    await #expect(throws: StorageError.conflict) { try await storage.commit([insert("b"), insert("a")]) }
    #expect(try await ids(storage) == ["a"])
    await storage.close()
  }

  @Test("keeps a refused unit from its neighbours in the same group", arguments: Driver.allCases)
  func isolation(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    try await storage.commit([insert("taken")])
    let results = await withTaskGroup(of: (Int, StorageError?).self, returning: [Int: StorageError?].self) { group in
      for index in 0..<300 {
        group.addTask {
          do throws(StorageError) {
            switch index % 3 {
            case 0: try await storage.commit([insert("good-\(index)"), insert("also-\(index)")])
            case 1: try await storage.commit([insert("bad-\(index)"), insert("taken")])
            default:
              try await storage.commit([
                insert("bad-\(index)"), Statement("DELETE FROM things WHERE 1 = 0", expectedChanges: 1),
              ])
            }
            return (index, nil)
          } catch {
            return (index, error)
          }
        }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    for (index, error) in results {
      switch index % 3 {
      case 0: #expect(error == nil)
      case 1: #expect(error == .conflict)
      default: #expect(error == .unexpectedChanges(statement: 1, expected: 1, actual: 0))
      }
    }
    #expect(try await count(storage) == 201)
    #expect(try await ids(storage).allSatisfy { !$0.hasPrefix("bad") })
    await storage.close()
  }

  @Test("keeps every one of 1000 concurrent commits over a restart", arguments: Driver.allCases)
  func durability(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<1000 {
        group.addTask { try await storage.commit([insert("thing-\(index)", Int64(index))]) }
      }
      try await group.waitForAll()
    }
    await storage.close()
    let again = try await open(database)
    #expect(try await count(again) == 1000)
    let sum = try #require(try await again.query(Statement("SELECT SUM(value) AS s FROM things")).first)
    #expect(try sum.integer("s") == 499_500)
    await again.close()
  }

  @Test("is closed for good", arguments: Driver.allCases)
  func close(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    await storage.close()
    for _ in 0..<2 {
      await #expect { try await storage.commit([insert("a")]) } throws: { isUnavailable($0) }
      await #expect { _ = try await storage.query(Statement("SELECT 1 AS one")) } throws: { isUnavailable($0) }
      await storage.close()
    }
  }

  @Test("finishes what was asked before it closes, or refuses it, and nothing in between", arguments: Driver.allCases)
  func closeUnderLoad(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    let acknowledged = await withTaskGroup(of: String?.self, returning: Set<String>.self) { group in
      for index in 0..<500 {
        group.addTask {
          do {
            try await storage.commit([insert("thing-\(index)")])
            return "thing-\(index)"
          } catch {
            return nil
          }
        }
        if index == 250 {
          group.addTask {
            await storage.close()
            return nil
          }
        }
      }
      return await group.reduce(into: []) { if let id = $1 { $0.insert(id) } }
    }
    let again = try database.open()
    #expect(Set(try await ids(again)) == acknowledged)
    await again.close()
  }

  @Test("says of a broken statement what the database says and not what it held", arguments: Driver.allCases)
  func errors(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    let broken = Statement("INSERT INTO nowhere (id) VALUES ($1)", [.text("secret prompt")])
    do {
      try await storage.commit([broken])
      Issue.record("expected an error")
    } catch {
      #expect(!"\(error)".contains("secret"))
    }
    try await storage.commit([insert("a")])
    await storage.close()
  }

  @Test("applies migrations once and in order", arguments: Driver.allCases)
  func migrations(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    let second = Migration(
      "second", ["ALTER TABLE things ADD COLUMN note TEXT", "INSERT INTO things (id) VALUES ('by second')"])
    let third = Migration("third", ["UPDATE things SET note = 'by third' WHERE note IS NULL"])
    try await storage.migrate([Self.schema, second])
    try await storage.migrate([Self.schema, second, third])
    try await storage.migrate([Self.schema, second, third])
    let rows = try await storage.query(Statement("SELECT id, note FROM things"))
    #expect(try rows.map { try $0.text("id") } == ["by second"])
    #expect(try rows.map { try $0.text("note") } == ["by third"])
    let applied = try await storage.query(Statement("SELECT name FROM schema_migrations ORDER BY sequence"))
    #expect(try applied.map { try $0.text("name") } == ["first", "second", "third"])
    await storage.close()
  }

  @Test("applies nothing of a migration that fails, and none after it", arguments: Driver.allCases)
  func failingMigration(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    let broken = Migration("broken", ["INSERT INTO things (id) VALUES ('half')", "INSERT INTO nowhere VALUES (1)"])
    let after = Migration("after", ["INSERT INTO things (id) VALUES ('after')"])
    await #expect(throws: StorageError.self) { try await storage.migrate([Self.schema, broken, after]) }
    #expect(try await ids(storage).isEmpty)
    let mended = Migration("broken", ["INSERT INTO things (id) VALUES ('whole')"])
    try await storage.migrate([Self.schema, mended, after])
    #expect(try await ids(storage) == ["after", "whole"])
    await storage.close()
  }

  @Test("counts up a serial key and never gives one twice", arguments: Driver.allCases)
  func serialKey(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try await open(database)
    try await storage.migrate([
      Self.schema, Migration("serial", ["CREATE TABLE log (n \(Migration.serialKey), text TEXT)"]),
    ])
    func add() async throws {
      try await storage.commit([Statement("INSERT INTO log (text) VALUES ('x')", expectedChanges: 1)])
    }
    try await add()
    try await add()
    try await storage.commit([Statement("DELETE FROM log WHERE n = 2", expectedChanges: 1)])
    try await add()
    let rows = try await storage.query(Statement("SELECT n FROM log ORDER BY n"))
    #expect(try rows.map { try $0.integer("n") } == [1, 3])
    await storage.close()
  }

  @Test("takes the schema that the runtime has, and again", arguments: Driver.allCases)
  func schema(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try database.open()
    try await storage.migrate(Schema.migrations)
    try await storage.migrate(Schema.migrations)
    #expect(try await storage.query(Statement("SELECT * FROM trace_events")).isEmpty)
    #expect(Set(Schema.migrations.map(\.name)).count == Schema.migrations.count)
    await storage.close()
  }

  @Test("keeps one of trace events that are told twice", arguments: Driver.allCases)
  func idempotency(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try database.open()
    try await storage.migrate(Schema.migrations)
    let insertion = Statement(
      """
      INSERT INTO trace_events (at, kind, payload, idempotency_key) VALUES ($1, 'test', '{}', $2)
      ON CONFLICT DO NOTHING
      """, [.integer(1_700_000_000_000), .text("key")])
    try await storage.commit([insertion, insertion])
    try await storage.commit([insertion])
    #expect(try await storage.query(Statement("SELECT * FROM trace_events")).count == 1)
    await storage.close()
  }

  @Test("deletes the trace events from before a moment, however many", arguments: Driver.allCases)
  func deletion(_ driver: Driver) async throws {
    let database = try await TestDatabase(driver)
    let storage = try database.open()
    try await storage.migrate(Schema.migrations)
    for start in [0, 4_000, 8_000] {
      try await storage.commit(
        (start..<start + 4_000).map { number in
          Statement(
            "INSERT INTO trace_events (at, kind, payload) VALUES ($1, 'test', '{}')", [.integer(Int64(number))])
        })
    }
    try await storage.deleteTraceEvents(before: Timestamp(milliseconds: 11_990))
    let left = try await storage.query(Statement("SELECT at FROM trace_events ORDER BY at"))
    #expect(try left.map { try $0.integer("at") } == Array(11_990..<12_000))
    await storage.close()
  }
}

private func isUnavailable(_ error: any Error) -> Bool {
  if case .unavailable? = error as? StorageError { true } else { false }
}
