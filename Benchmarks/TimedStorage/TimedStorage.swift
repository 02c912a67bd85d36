import Foundation
import Logging
import Storage
import Synchronization

/// Commits units as an exchange of tokens does, by many callers at once, and prints how many a second were durable, and
/// how long the median one and the slowest hundredth took in milliseconds:
///
///     TimedStorage (sqlite DIRECTORY | postgres URL) SECONDS CALLERS
@main
enum TimedStorage {
  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 5, let seconds = Int(arguments[3]), let callers = Int(arguments[4]), callers > 0 else {
      fatalError("usage: TimedStorage (sqlite DIRECTORY | postgres URL) SECONDS CALLERS")
    }
    let storage: any StorageDriver =
      arguments[1] == "sqlite"
      ? try SQLiteStorage(directory: arguments[2])
      : try PostgresStorage(url: arguments[2], logger: Logger(label: "bench"))
    try await storage.migrate(Schema.migrations)
    _ = try await times(of: storage, during: .seconds(1), callers: callers)
    let times = try await times(of: storage, during: .seconds(seconds), callers: callers).sorted()
    await storage.close()
    guard let median = times.quantile(0.5), let slow = times.quantile(0.99) else { fatalError("nothing was committed") }
    print(times.count / seconds, median, slow)
  }

  private static func times(
    of storage: any StorageDriver, during interval: Duration, callers: Int
  ) async throws -> [Double] {
    let end = ContinuousClock.now + interval
    return try await withThrowingTaskGroup(of: [Double].self) { group in
      for _ in 0..<callers {
        group.addTask {
          var times: [Double] = []
          while ContinuousClock.now < end {
            let start = ContinuousClock.now
            try await storage.commit(unit())
            times.append((ContinuousClock.now - start) / .milliseconds(1))
          }
          return times
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
  }

  private static func unit() -> [Statement] {
    let id = UUID().uuidString
    let now = Int64(Date().timeIntervalSince1970 * 1000)
    return [
      Statement(
        """
        INSERT INTO tokens (jti, sha256, mas_id, user_input_id, client_id, scope, issued_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        [
          .text(id), .text(String(repeating: "a", count: 64)), .text("mas_1"), .text("inp_1"), .text("app_1"),
          .text("call-tools"), .integer(now), .integer(now + 300_000),
        ], expectedChanges: 1),
      Statement(
        """
        INSERT INTO trace_events (at, kind, mas_id, user_input_id, trace_id, app_id, payload)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
          .integer(now), .text("token_exchanged"), .text("mas_1"), .text("inp_1"), .text(id), .text("app_1"),
          .text(String(repeating: "x", count: 600)),
        ]),
    ]
  }
}

extension [Double] {
  /// Of sorted values; nil when there is none.
  fileprivate func quantile(_ share: Double) -> Double? {
    isEmpty ? nil : self[Swift.min(count - 1, Int(Double(count) * share))]
  }
}
