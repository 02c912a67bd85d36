import Foundation
import Storage
import Testing

@Suite("The SQLite driver")
struct SQLiteStorageTests {
  /// A storage with an empty table, in a directory of its own.
  private func open(_ directory: TemporaryDirectory) async throws -> SQLiteStorage {
    let storage = try SQLiteStorage(directory: directory.path + "/data")
    try await storage.migrate([Migration("first", ["CREATE TABLE things (id TEXT PRIMARY KEY, value BIGINT)"])])
    return storage
  }

  private func insert(_ id: String) -> Statement {
    Statement("INSERT INTO things (id, value) VALUES ($1, 0)", [.text(id)], expectedChanges: 1)
  }

  private func ids(_ storage: SQLiteStorage) async throws -> [String] {
    try await storage.query(Statement("SELECT id FROM things ORDER BY id")).map { try $0.text("id") }
  }

  @Test("has what it acknowledged on the disk before it is closed")
  func acknowledged() async throws {
    let directory = try TemporaryDirectory()
    let storage = try await open(directory)
    try await storage.commit([insert("a")])
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
}
