import Foundation
import Logging
import Storage
import Synchronization
import TestPostgres
import Testing

/// What happens to units while the server fails: whatever was acknowledged is stored, and nobody waits for long.
@Suite("The PostgreSQL driver, while its server fails", .serialized)
struct PostgresFaultTests {
  /// What became of a unit.
  private struct Told: Sendable {
    let id: String
    let error: StorageError?
    let began: ContinuousClock.Instant
    let ended: ContinuousClock.Instant
  }

  /// What several tasks tell each other.
  private final class Course: Sendable {
    private let moments = Mutex<[ContinuousClock.Instant]>([])
    private let over = Atomic(false)

    var isOver: Bool { over.load(ordering: .relaxed) }
    func end() { over.store(true, ordering: .relaxed) }
    /// Remembers when something happened.
    func mark() { moments.withLock { $0.append(.now) } }
    subscript(index: Int) -> ContinuousClock.Instant { moments.withLock { $0[index] } }
  }

  /// A storage on a server of its own.
  private struct Scene: Sendable {
    let server: PostgresServer
    let storage: PostgresStorage

    init(in parent: String? = nil, settings: [String] = []) async throws {
      server = try PostgresServer(settings: settings, in: parent)
      storage = try PostgresStorage(
        url: server.url("postgres"), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      try await storage.migrate([Migration("first", ["CREATE TABLE things (id TEXT PRIMARY KEY, ballast TEXT)"])])
    }

    func insertion(_ id: String, ballast: Int = 0) -> Statement {
      Statement(
        "INSERT INTO things (id, ballast) VALUES ($1, $2)",
        [.text(id), .text(String((0..<ballast).map { _ in Character(UnicodeScalar(UInt8.random(in: 33...126))) }))],
        expectedChanges: 1)
    }

    /// Commits units over and over, by several callers at once, until `events` has happened and a second more.
    func load(
      callers: Int = 32, ballast: Int = 0, while events: @escaping @Sendable () async throws -> Void
    ) async throws -> [Told] {
      let course = Course()
      return try await withThrowingTaskGroup(of: [Told].self) { group in
        for caller in 0..<callers {
          group.addTask {
            var told: [Told] = []
            while !course.isOver {
              let id = "\(caller)-\(told.count)"
              let began = ContinuousClock.now
              var error: StorageError?
              do throws(StorageError) {
                try await storage.commit([insertion(id, ballast: ballast)])
              } catch let thrown {
                error = thrown
              }
              told.append(Told(id: id, error: error, began: began, ended: .now))
              // Who was refused does not ask again at once.
              if error != nil { try await Task.sleep(for: .milliseconds(20)) }
            }
            return told
          }
        }
        group.addTask {
          try await Task.sleep(for: .milliseconds(500))
          try await events()
          try await Task.sleep(for: .seconds(1))
          course.end()
          return []
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
    }

    /// Checks that everything acknowledged is stored, and every other unit was refused for the right reason.
    func check(_ told: [Told]) async throws {
      let rows = try await storage.query(Statement("SELECT id FROM things"))
      let stored = Set(try rows.map { try $0.text("id") })
      let acknowledged = told.filter { $0.error == nil }
      #expect(acknowledged.allSatisfy { stored.contains($0.id) })
      #expect(stored.isSubset(of: told.map(\.id)))
      for refused in told where refused.error != nil {
        guard case .unavailable? = refused.error else {
          Issue.record("refused with \(String(describing: refused.error))")
          return
        }
      }
      print("acknowledged \(acknowledged.count), refused \(told.count - acknowledged.count), stored \(stored.count)")
    }
  }

  /// How long it took from `moment` until a unit was acknowledged.
  private func timeToRecover(_ told: [Told], after moment: ContinuousClock.Instant) -> Duration? {
    told.filter { $0.error == nil && $0.ended > moment }.map { $0.ended - moment }.min()
  }

  @Test("killed and started again, it has all that was acknowledged, and goes on soon")
  func kill() async throws {
    // Each commit waits for others before it is written: so a unit whose COMMIT was sent is not stored yet.
    let scene = try await Scene(settings: ["commit_delay=100000", "commit_siblings=0"])
    let course = Course()
    let told = try await scene.load {
      try scene.server.kill()
      course.mark()
      try await Task.sleep(for: .seconds(4))
      course.mark()
      try scene.server.start()
      course.mark()
      try await Task.sleep(for: .seconds(3))
    }
    let (killed, started, up) = (course[0], course[1], course[2])
    #expect(told.filter { $0.began > killed && $0.ended < started }.allSatisfy { $0.error != nil })
    let late = told.filter { $0.ended > killed && $0.began < started }.map { $0.ended - $0.began }.max()
    #expect(try #require(late) < .seconds(5))
    let recovery = try #require(timeToRecover(told, after: up))
    #expect(recovery < .seconds(5))
    print("killed: longest wait \(late ?? .zero), recovery \(recovery) after it answered")
    try await scene.check(told)
    await scene.storage.close()
  }

  @Test("stopped where it is, it keeps nobody waiting for long, and goes on soon after")
  func stop() async throws {
    let scene = try await Scene()
    let course = Course()
    let told = try await scene.load {
      try scene.server.stop()
      course.mark()
      try await Task.sleep(for: .seconds(9))
      course.mark()
      try scene.server.resume()
      try await Task.sleep(for: .seconds(3))
    }
    let (stopped, resumed) = (course[0], course[1])
    #expect(told.filter { $0.began > stopped && $0.ended < resumed }.allSatisfy { $0.error != nil })
    let late = told.filter { $0.ended > stopped && $0.began < resumed }.map { $0.ended - $0.began }.max()
    #expect(try #require(late) < .seconds(9))
    let recovery = try #require(timeToRecover(told, after: resumed))
    #expect(recovery < .seconds(5))
    print("stopped: longest wait \(late ?? .zero), recovery \(recovery)")
    try await scene.check(told)
    await scene.storage.close()
  }

  @Test(
    "with its disk full, it refuses what it can't store, and goes on when there is room",
    .enabled(if: geteuid() == 0, "only root can mount a small disk"))
  func fullDisk() async throws {
    let disk = try TemporaryDirectory()
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: disk.path)
    try PostgresServer.succeed(["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "none", disk.path])
    defer { try? PostgresServer.succeed(["umount", "--lazy", disk.path]) }
    // Its log of changes is overwritten soon, so that it is the table that finds no room.
    let scene = try await Scene(in: disk.path, settings: ["max_wal_size=4MB", "min_wal_size=2MB"])
    let filler = disk.path + "/filler"
    let course = Course()
    let told = try await scene.load(callers: 4, ballast: 20_000) {
      var free = try #require(
        try FileManager.default.attributesOfFileSystem(forPath: disk.path)[.systemFreeSize] as? Int)
      free -= 1 << 20
      try Data(count: max(free, 0)).write(to: URL(fileURLWithPath: filler))
      try await Task.sleep(for: .seconds(3))
      course.mark()
      try FileManager.default.removeItem(atPath: filler)
      try await Task.sleep(for: .seconds(3))
    }
    let room = course[0]
    let refused = told.filter { $0.error != nil }
    #expect(!refused.isEmpty)
    print("full: \(Set(refused.map { "\($0.error.map { "\($0)" } ?? "")" }).sorted())")
    // The disk was full for as long as the filler was there.
    let last = told.filter { $0.ended < room }.suffix(1)
    #expect(!last.isEmpty)
    let recovery = try #require(timeToRecover(told, after: room))
    #expect(recovery < .seconds(5))
    print("full: recovery \(recovery)")
    try await scene.check(told)
    await scene.storage.close()
  }

  @Test("keeps refused units apart from their neighbours when each is refused for a reason of its own")
  func refusals() async throws {
    let scene = try await Scene()
    try await scene.storage.commit([scene.insertion("taken")])
    let results = await withTaskGroup(of: (Int, StorageError?).self, returning: [Int: StorageError?].self) { group in
      for number in 0..<400 {
        group.addTask {
          let own = scene.insertion("own-\(number)")
          let unit =
            switch number % 7 {
            case 1: [own, Statement("DELETE FROM things WHERE id = 'none'", expectedChanges: 1)]
            case 3: [own, scene.insertion("taken")]
            case 5: [own, Statement("INSERT INTO nowhere VALUES (1)")]
            default: [own]
            }
          do throws(StorageError) {
            try await scene.storage.commit(unit)
            return (number, nil)
          } catch {
            return (number, error)
          }
        }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    for (number, error) in results {
      switch number % 7 {
      case 1: #expect(error == .unexpectedChanges(statement: 1, expected: 1, actual: 0))
      case 3: #expect(error == .conflict)
      case 5: if case .unavailable? = error {} else { Issue.record("\(number): \(String(describing: error))") }
      default: #expect(error == nil)
      }
    }
    let rows = try await scene.storage.query(Statement("SELECT id FROM things WHERE id <> 'taken'"))
    let expected = Set((0..<400).filter { ![1, 3, 5].contains($0 % 7) }.map { "own-\($0)" })
    #expect(Set(try rows.map { try $0.text("id") }) == expected)
    await scene.storage.close()
  }
}
