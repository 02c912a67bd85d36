public import CASACore
import Synchronization

/// Says which sessions something was revoked in, to whoever waits for it.
public final class RevocationFeed: Sendable {
  /// Where a reader stands. One of another life of the runtime stands nowhere.
  public struct Cursor: Sendable, Hashable {
    let life: UInt64
    let next: Int

    public var text: String { "\(String(life, radix: 16))-\(next)" }

    public init?(_ text: String) {
      let parts = text.split(separator: "-", omittingEmptySubsequences: false)
      guard text.utf8.count <= 40, parts.count == 2, let life = UInt64(parts[0], radix: 16), let next = Int(parts[1]),
        next >= 0
      else { return nil }
      self.init(life: life, next: next)
    }

    init(life: UInt64, next: Int) {
      self.life = life
      self.next = next
    }
  }

  public struct Page: Sendable {
    public let sessions: Set<UserInputID>
    /// Whether more may have been revoked than `sessions` says: all that is remembered must be asked about anew.
    public let isPartial: Bool
    public let cursor: Cursor
  }

  private static let kept = 10_000
  private static let maximumWaiting = 10_000

  private struct State {
    var first = 0
    var entries: [(mas: MASID, session: UserInputID?)] = []
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0

    var next: Int { first + entries.count }
  }

  private let life = UInt64.random(in: 1...UInt64.max)
  private let state = Mutex(State())

  init() {}

  /// - Parameter session: nil for something beyond one session.
  func publish(_ session: UserInputID?, of mas: MASID) {
    let waiting = state.withLock { state in
      state.entries.append((mas, session))
      if state.entries.count > Self.kept {
        state.entries.removeFirst(Self.kept / 2)
        state.first += Self.kept / 2
      }
      let waiting = state.waiting
      state.waiting = [:]
      return waiting
    }
    for continuation in waiting.values { continuation.resume() }
  }

  /// What was revoked in a MAS after `cursor`; when that is nothing, waits until it is something or the time is up.
  public func page(after cursor: Cursor?, of mas: MASID, waitingFor patience: Duration) async -> Page {
    let page = self.page(after: cursor, of: mas)
    guard page.sessions.isEmpty, !page.isPartial else { return page }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.wait(from: page.cursor.next) }
      group.addTask { try? await Task.sleep(for: patience) }
      await group.next()
      group.cancelAll()
    }
    return self.page(after: page.cursor, of: mas)
  }

  private func page(after cursor: Cursor?, of mas: MASID) -> Page {
    state.withLock { state in
      let here = Cursor(life: life, next: state.next)
      guard let cursor, cursor.life == life, (state.first...state.next).contains(cursor.next) else {
        return Page(sessions: [], isPartial: true, cursor: here)
      }
      let news = state.entries[(cursor.next - state.first)...].filter { $0.mas == mas }
      return Page(
        sessions: Set(news.compactMap(\.session)), isPartial: news.contains { $0.session == nil }, cursor: here)
    }
  }

  /// Returns at the next publication after `next`, and when the task is cancelled.
  private func wait(from next: Int) async {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.next == next, state.waiting.count < Self.maximumWaiting, !Task.isCancelled else { return false }
          state.waiting[id] = continuation
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
    }
  }
}
