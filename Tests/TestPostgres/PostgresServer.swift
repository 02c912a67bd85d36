import CLibPQ
import Foundation
import Synchronization

/// A PostgreSQL server of the tests' own, in a new directory, reached over a socket there. It ends with this process.
public final class PostgresServer: Sendable {
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  private struct State {
    var process: Process?
    var lifeline: Pipe?
    var templates: [String: Task<String, any Error>] = [:]
  }

  private static let shared = Mutex<Result<PostgresServer, any Error>?>(nil)
  private static let databases = Atomic(0)

  private let directory: String
  private let settings: [String]
  private let state = Mutex(State())

  /// One server for all tests of this process that don't stop it. It doesn't sync its disk.
  public static func running() throws -> PostgresServer {
    try shared.withLock { shared in
      let made = shared ?? Result { try PostgresServer(settings: ["fsync=off", "max_connections=400"]) }
      shared = made
      return try made.get()
    }
  }

  /// - Parameters:
  ///   - settings: more of the server's settings, each `name=value`.
  ///   - parent: an existing directory to put the data into; one of the system's for temporary files when nil.
  public init(settings: [String] = [], in parent: String? = nil) throws {
    self.settings = settings
    directory = (parent ?? "/tmp") + "/casa-postgres-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    if geteuid() == 0 { try Self.succeed(["chown", "postgres:", directory]) }
    try Self.succeed(
      Self.asServer([
        try Self.program("initdb"), "-D", directory + "/data", "-U", "casa", "-A", "trust", "-E", "UTF8",
        "--locale=C", "--no-sync", "--wal-segsize=1",
      ]))
    try start()
  }

  deinit {
    try? state.withLock { $0.lifeline }?.fileHandleForWriting.close()
    state.withLock { $0.process }?.waitUntilExit()
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// The URL of a database.
  public func url(_ database: String) -> String { "postgres:///\(database)?host=\(directory)&user=casa" }

  // MARK: Databases

  /// Makes an empty database and returns its URL.
  public func newDatabase() throws -> String {
    let name = Self.newName()
    try execute("CREATE DATABASE \(name)")
    return url(name)
  }

  /// Makes a database that is like the one that `fill` made when it was first asked for under `key`.
  public func newDatabase(
    like key: String, fill: @escaping @Sendable (_ url: String) async throws -> Void
  ) async throws -> String {
    let template = state.withLock { state in
      let task =
        state.templates[key]
        ?? Task {
          let name = Self.newName()
          try self.execute("CREATE DATABASE \(name)")
          try await fill(self.url(name))
          return name
        }
      state.templates[key] = task
      return task
    }
    let (name, original) = (Self.newName(), try await template.value)
    try execute("CREATE DATABASE \(name) TEMPLATE \(original)")
    return url(name)
  }

  private static func newName() -> String { "test_\(databases.add(1, ordering: .relaxed).newValue)" }

  /// Carries out SQL over a connection of its own; in the database `postgres` when no URL is given.
  /// - Returns: the first column of the first row.
  @discardableResult
  public func execute(_ sql: String, at url: String? = nil) throws -> String? {
    let connection = PQconnectdb(url ?? self.url("postgres"))
    defer { PQfinish(connection) }
    let result = PQexec(connection, sql)
    defer { PQclear(result) }
    guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
      throw Failure(description: "\(sql): \(PQerrorMessage(connection).map { String(cString: $0) } ?? "")")
    }
    guard PQntuples(result) > 0, PQgetisnull(result, 0, 0) == 0 else { return nil }
    return PQgetvalue(result, 0, 0).map { String(cString: $0) }
  }

  // MARK: The process

  /// Starts the server, and returns when it answers.
  public func start() throws {
    let process = Process()
    let lifeline = Pipe()
    // The server ends with the pipe, whose other end ends with this process.
    let script = """
      exec 3<&0 </dev/null
      (read -r word <&3; [ "$word" = keep ] || { kill -QUIT $$; sleep 1; rm -rf "$DIRECTORY"; }) &
      exec "$@" 3<&-
      """
    let server =
      [try Self.program("postgres"), "-D", directory + "/data", "-k", directory, "-h", ""]
      + (["max_prepared_transactions=0"] + settings).flatMap { ["-c", $0] }
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script, "sh"] + Self.asServer(server)
    process.environment = ProcessInfo.processInfo.environment.merging(["DIRECTORY": directory]) { $1 }
    process.standardInput = lifeline
    let log = directory + ".log"
    _ = FileManager.default.createFile(atPath: log, contents: nil)
    let output = FileHandle(forWritingAtPath: log)
    process.standardOutput = output
    process.standardError = output
    try process.run()
    state.withLock { state in
      state.process = process
      state.lifeline = lifeline
    }
    let deadline = ContinuousClock.now + .seconds(30)
    while PQping(url("postgres")) != PQPING_OK {
      guard ContinuousClock.now < deadline, process.isRunning else {
        let said = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        throw Failure(description: "PostgreSQL does not start: \(said.suffix(2000))")
      }
      Thread.sleep(forTimeInterval: 0.02)
    }
    try? FileManager.default.removeItem(atPath: log)
  }

  /// Ends all its processes at once, as when the machine loses its power.
  public func kill() throws {
    // The one that waits at the other end would remove the directory, and is among those that end.
    let lifeline = state.withLock { $0.lifeline }?.fileHandleForWriting
    try lifeline?.write(contentsOf: Data("keep\n".utf8))
    try lifeline?.close()
    try signal(SIGKILL)
    state.withLock { $0.process }?.waitUntilExit()
  }

  /// Stops all its processes where they are, until `resume`.
  public func stop() throws { try signal(SIGSTOP) }
  public func resume() throws { try signal(SIGCONT) }

  private func signal(_ number: Int32) throws {
    let lines = try String(contentsOfFile: directory + "/data/postmaster.pid", encoding: .utf8).split(separator: "\n")
    guard let main = lines.first.flatMap({ Int32($0) }) else { throw Failure(description: "no postmaster.pid") }
    let children = try String(contentsOfFile: "/proc/\(main)/task/\(main)/children", encoding: .utf8)
    // The one that would start others first.
    _ = Glibc.kill(main, number)
    for child in children.split(separator: " ").compactMap({ Int32($0) }) { _ = Glibc.kill(child, number) }
  }

  // MARK: Programs

  /// PostgreSQL refuses to run as root.
  private static func asServer(_ command: [String]) -> [String] {
    geteuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] + command : command
  }

  /// Debian keeps each version's programs in a directory of its own.
  private static func program(_ name: String) throws -> String {
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
    let folders = versions.compactMap { Int($0) }.sorted(by: >).map { "/usr/lib/postgresql/\($0)/bin" }
    let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    for folder in folders + path where FileManager.default.isExecutableFile(atPath: folder + "/" + name) {
      return folder + "/" + name
    }
    throw Failure(description: "PostgreSQL is not installed: \(name) was not found; run scripts/setup test")
  }

  /// Runs a command to its end.
  public static func succeed(_ command: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: "\(command): \(String(decoding: said, as: UTF8.self).suffix(2000))")
    }
  }
}
