import Foundation
import Logging
public import Storage

/// A new directory that goes away with its last reference.
public final class TemporaryDirectory: Sendable {
  public let path: String

  public init() throws {
    path = NSTemporaryDirectory() + "casa-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A new database with the runtime's schema, which can be opened again after it was closed: SQLite, or PostgreSQL
/// where the environment says `CASA_TEST_DATABASE=postgres`.
public struct TestDatabase: Sendable {
  private enum Place {
    case directory(TemporaryDirectory)
    case server(url: String)
  }

  private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private let place: Place

  public init() async throws {
    switch ProcessInfo.processInfo.environment["CASA_TEST_DATABASE"] {
    case nil, "sqlite": place = .directory(try TemporaryDirectory())
    case "postgres":
      let url = try await PostgresServer.running().newDatabase(like: "runtime") { url in
        let storage = try PostgresStorage(url: url, logger: Self.logger)
        try await storage.migrate(Schema.migrations)
        await storage.close()
      }
      place = .server(url: url)
    case let other?: throw StorageError.unavailable("CASA_TEST_DATABASE must be sqlite or postgres; got \(other)")
    }
  }

  public func open() throws(StorageError) -> any StorageDriver {
    switch place {
    case .directory(let directory): try SQLiteStorage(directory: directory.path)
    case .server(let url): try PostgresStorage(url: url, logger: Self.logger)
    }
  }
}
