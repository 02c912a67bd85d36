import GRDB
import Synchronization

/// Copies the write-ahead log into the database over a connection of its own, beside the commits, so that hardly
/// one of them has to wait for it.
final class WALCheckpointer: Sendable {
  /// How many units are committed from one copy to the next.
  private static let interval = 1024

  private struct State {
    var units = 0
    var isCopying = false
  }

  private let database: DatabaseQueue
  private let state = Mutex(State())

  init(path: String, configuration: Configuration) throws {
    database = try DatabaseQueue(path: path, configuration: configuration)
  }

  /// Tells that `units` more were committed. Returns at once.
  func didCommit(_ units: Int) {
    let isDue = state.withLock { state in
      state.units += units
      guard state.units >= Self.interval, !state.isCopying else { return false }
      state = State(units: 0, isCopying: true)
      return true
    }
    guard isDue else { return }
    database.asyncWriteWithoutTransaction { [self] connection in
      // What is not copied now is copied the next time, or by the writer itself.
      _ = try? connection.checkpoint(.passive)
      state.withLock { $0.isCopying = false }
    }
  }

  /// Waits for a copy under way. Nothing may be committed afterwards.
  func close() { try? database.close() }
}
