import Logging
import Storage
import TestPostgres

/// What a test of all drivers is run with.
enum Driver: String, CaseIterable, Sendable {
  case sqlite, postgres
}

/// A new database, which can be opened again after it was closed.
struct TestDatabase: Sendable {
  private enum Place {
    case directory(TemporaryDirectory)
    case server(url: String)
  }

  private let place: Place

  init(_ driver: Driver) async throws {
    switch driver {
    case .sqlite: place = .directory(try TemporaryDirectory())
    case .postgres: place = .server(url: try PostgresServer.running().newDatabase())
    }
  }

  func open() throws(StorageError) -> any StorageDriver {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    switch place {
    case .directory(let directory): return try SQLiteStorage(directory: directory.path + "/data")
    case .server(let url): return try PostgresStorage(url: url, logger: logger)
    }
  }
}
