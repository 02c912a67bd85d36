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
