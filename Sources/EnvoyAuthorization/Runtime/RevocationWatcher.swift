import CASACore
import Enforcement

/// Hears of revocations as soon as the runtime tells of them, and has everything forgotten that they may concern.
struct RevocationWatcher: Sendable {
  let workload: GuardedWorkload
  let epoch: DecisionEpoch

  /// Until cancelled. While the runtime is away nothing is forgotten: what is remembered ends by itself.
  func run() async {
    var cursor: String?
    while !Task.isCancelled {
      do {
        let news = try await workload.runtime.revocations(after: cursor)
        if news.isPartial, cursor != nil {
          workload.forgetAll()
          epoch.advance()
        } else if !news.sessions.isEmpty {
          workload.forget(news.sessions)
          epoch.advance()
        }
        cursor = news.cursor
      } catch {
        do { try await Task.sleep(for: .seconds(1)) } catch { return }
      }
    }
  }
}
