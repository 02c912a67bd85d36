import Foundation
import Storage
import Testing

@Suite("The SQLite driver")
struct SQLiteStorageTests {
  private static let schema = Migration(
    "first",
    ["CREATE TABLE things (id TEXT PRIMARY KEY, value BIGINT)", "CREATE TABLE bits (id TEXT PRIMARY KEY, data BLOB)"])

  /// A storage with an empty table, in a directory of its own.
  private func open(_ directory: TemporaryDirectory) async throws -> SQLiteStorage {
    let storage = try SQLiteStorage(directory: directory.path + "/data")
    try await storage.migrate([Self.schema])
    return storage
  }

  private func insert(_ id: String, _ value: Int64 = 0, expectedChanges: Int? = 1) -> Statement {
    Statement(
      "INSERT INTO things (id, value) VALUES ($1, $2)", [.text(id), .integer(value)], expectedChanges: expectedChanges)
  }

  private func count(_ storage: SQLiteStorage) async throws -> Int64 {
    try #require(try await storage.query(Statement("SELECT COUNT(*) AS n FROM things")).first).integer("n")
  }

  private func ids(_ storage: SQLiteStorage) async throws -> [String] {
    try await storage.query(Statement("SELECT id FROM things ORDER BY id")).map { try $0.text("id") }
  }

  @Test("gives back each kind of value")
  func values() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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

  @Test("undoes a whole unit when a statement changes another number of rows")
  func expectedChanges() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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

  @Test("answers a conflict, and undoes the unit")
  func conflict() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    try await storage.commit([insert("a")])
    await #expect(throws: StorageError.conflict) { try await storage.commit([insert("b"), insert("a")]) }
    #expect(try await ids(storage) == ["a"])
    await storage.close()
  }

  @Test("keeps a refused unit from its neighbours in the same group")
  func isolation() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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
                insert("bad-\(index)"), Statement("DELETE FROM things WHERE 0", expectedChanges: 1),
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

  @Test("keeps every one of 1000 concurrent commits over a restart")
  func durability() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<1000 {
        group.addTask { try await storage.commit([insert("thing-\(index)", Int64(index))]) }
      }
      try await group.waitForAll()
    }
    await storage.close()
    let again = try await open(directory)
    #expect(try await count(again) == 1000)
    let sum = try #require(try await again.query(Statement("SELECT SUM(value) AS s FROM things")).first)
    #expect(try sum.integer("s") == 499_500)
    await again.close()
  }

  @Test("has what it acknowledged on the disk before it is closed")
  func acknowledged() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    try await storage.commit([insert("a", 7)])
    // What another process would find if this one died now.
    let copy = directory.path + "/copy"
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    for name in ["casa.sqlite", "casa.sqlite-wal"] {
      try FileManager.default.copyItem(atPath: directory.path + "/data/" + name, toPath: copy + "/" + name)
    }
    let survivor = try SQLiteStorage(directory: copy)
    #expect(try await ids(survivor) == ["a"])
    await survivor.close()
    await storage.close()
  }

  @Test("is opened by one at a time")
  func secondOpener() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    #expect(throws: StorageError.self) { try SQLiteStorage(directory: directory.path + "/data") }
    try await storage.commit([insert("a")])
    await storage.close()
    let next = try SQLiteStorage(directory: directory.path + "/data")
    #expect(try await ids(next) == ["a"])
    await next.close()
  }

  @Test("is closed for good")
  func close() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    await storage.close()
    for _ in 0..<2 {
      await #expect { try await storage.commit([insert("a")]) } throws: { isUnavailable($0) }
      await #expect { _ = try await storage.query(Statement("SELECT 1 AS one")) } throws: { isUnavailable($0) }
      await storage.close()
    }
  }

  @Test("finishes what was asked before it closes, or refuses it, and nothing in between")
  func closeUnderLoad() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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
    let again = try SQLiteStorage(directory: directory.path + "/data")
    #expect(Set(try await ids(again)) == acknowledged)
    await again.close()
  }

  @Test("lets only its owner read its files")
  func modes() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    try await storage.commit([insert("a")])
    #expect(try directory.mode(of: "/data") == 0o700)
    for name in ["casa.sqlite", "casa.sqlite-wal", "casa.lock"] {
      #expect(try directory.mode(of: "/data/" + name) == 0o600)
    }
    await storage.close()
  }

  @Test("says of a broken statement what SQLite says and not what it held")
  func errors() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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

  // MARK: Migrations

  @Test("applies migrations once and in order")
  func migrations() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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

  @Test("applies nothing of a migration that fails, and none after it")
  func failingMigration() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    let broken = Migration("broken", ["INSERT INTO things (id) VALUES ('half')", "INSERT INTO nowhere VALUES (1)"])
    let after = Migration("after", ["INSERT INTO things (id) VALUES ('after')"])
    await #expect(throws: StorageError.self) { try await storage.migrate([Self.schema, broken, after]) }
    #expect(try await ids(storage).isEmpty)
    let mended = Migration("broken", ["INSERT INTO things (id) VALUES ('whole')"])
    try await storage.migrate([Self.schema, mended, after])
    #expect(try await ids(storage) == ["after", "whole"])
    await storage.close()
  }

  @Test("counts up a serial key and never gives one twice")
  func serialKey() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
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

  @Test("takes the schema that the runtime has, and again")
  func schema() async throws {
    let directory = try TemporaryDirectory()
    let storage = try SQLiteStorage(directory: directory.path)
    try await storage.migrate(Schema.migrations)
    try await storage.migrate(Schema.migrations)
    #expect(try await storage.query(Statement("SELECT * FROM trace_events")).isEmpty)
    #expect(Set(Schema.migrations.map(\.name)).count == Schema.migrations.count)
    await storage.close()
  }
}

private func isUnavailable(_ error: any Error) -> Bool {
  if case .unavailable? = error as? StorageError { true } else { false }
}

@Suite("A private file")
struct PrivateFileTests {
  @Test("can be read by its owner only, and replaces what was there")
  func writes() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/secret"
    try #require(
      FileManager.default.createFile(atPath: path, contents: Data("old".utf8), attributes: [.posixPermissions: 0o644]))
    try PrivateFile.write("néw\n", to: path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "néw\n")
    #expect(try directory.mode(of: "/secret") == 0o600)
    try PrivateFile.write("", to: path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["secret"])
  }

  @Test("does not write through a link that somebody put in its draft's place")
  func links() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/secret"
    let elsewhere = directory.path + "/elsewhere"
    try FileManager.default.createSymbolicLink(atPath: path + ".new", withDestinationPath: elsewhere)
    try PrivateFile.write("text", to: path)
    #expect(!FileManager.default.fileExists(atPath: elsewhere))
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "text")
  }

  @Test("is refused where it can't be written")
  func refuses() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: StorageError.self) { try PrivateFile.write("text", to: directory.path + "/none/secret") }
  }
}
