public import CASACore
import Synchronization
import Traces

/// Tells the trace which app asked about which token and what it learned: the same once, since sidecars ask again and
/// again. Nothing waits for it: an introspection grants nothing, and must stay fast.
public final class IntrospectionLog: Sendable {
  /// More than these not yet stored and further ones are only counted.
  private static let maximumPending = 10_000
  private static let batch = 250

  private struct Answer: Hashable {
    let token: TokenHash
    let app: AppID
    let isActive: Bool
  }

  private struct State {
    var told = GenerationalCache<Answer, Bool>(capacity: 262_144)
    var pending: [TraceEvent] = []
    var lost: Int64 = 0
  }

  private let traces: TraceLog
  private let state = Mutex(State())

  init(traces: TraceLog) { self.traces = traces }

  /// - Parameter claims: what was answered; nil for a token that is not active.
  func record(_ token: TokenHash, claims: TokenClaims?, by app: App, at now: Timestamp) {
    let answer = Answer(token: token, app: app.id, isActive: claims != nil)
    state.withLock { state in
      guard state.told[answer] == nil else { return }
      state.told[answer] = true
      guard state.pending.count < Self.maximumPending else {
        state.lost += 1
        return
      }
      state.pending.append(
        TraceEvent(
          .tokenIntrospected, at: now, masID: app.masID, userInputID: claims?.userInputID, traceID: claims?.traceID,
          appID: app.id,
          payload: [
            "token_sha256": .string(token.text), "active": .bool(claims != nil),
            "scope": claims.map { .string($0.scope.rawValue) } ?? .null,
          ]))
    }
  }

  /// Stores what is waiting.
  /// - Throws: `StorageError`; what was not stored still waits.
  public func flush(at now: Timestamp) async throws {
    while true {
      let (events, lost) = state.withLock { state in
        let batch = Array(state.pending.prefix(Self.batch))
        state.pending.removeFirst(batch.count)
        defer { state.lost = 0 }
        return (batch, state.lost)
      }
      guard !events.isEmpty || lost > 0 else { return }
      var all = events
      if lost > 0 {
        all.append(
          TraceEvent(
            .eventsLost, at: now, masID: nil,
            payload: ["count": .number(Double(lost)), "kind": .string(TraceEvent.Kind.tokenIntrospected.rawValue)]))
      }
      do {
        try await traces.append(all)
      } catch {
        state.withLock { state in
          state.pending = events + state.pending
          state.lost += lost
        }
        throw error
      }
    }
  }
}
