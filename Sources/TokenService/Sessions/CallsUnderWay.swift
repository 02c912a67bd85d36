import AgentProtocols
import CASACore

/// The calls of one session that tokens are asked for, or that were granted and may still be carried out: each was
/// judged before it is known what became of the others.
///
/// In memory only, and so of one runtime: what another one grants at the same moment is known when it is carried out.
struct CallsUnderWay: Sendable {
  struct Call: Sendable, Hashable {
    let server: AppID
    let tool: ToolName
    let argumentsSHA256: String
  }

  private struct State {
    /// How many exchanges are deciding about it.
    var deciding = 0
    /// Until when a token for it may be spent; nil when none was granted.
    var grantedUntil: Timestamp?

    func isUnderWay(at now: Timestamp) -> Bool { deciding > 0 || grantedUntil.map { $0 > now } ?? false }
  }

  /// With more, no further call is decided about.
  static let maximum = 1000

  private var calls: [Call: State] = [:]

  /// Somebody wants to make a call.
  /// - Returns: false when too many wait already; then nothing was begun.
  mutating func begin(_ call: Call, at now: Timestamp) -> Bool {
    if calls.count >= Self.maximum {
      calls = calls.filter { $0.value.isUnderWay(at: now) }
    }
    guard calls[call] != nil || calls.count < Self.maximum else { return false }
    calls[call, default: State()].deciding += 1
    return true
  }

  /// What was begun is decided.
  /// - Parameter grantedUntil: until when the call may be carried out; nil when it was refused.
  mutating func end(_ call: Call, grantedUntil: Timestamp?) {
    guard var state = calls[call] else { return }
    state.deciding = max(0, state.deciding - 1)
    if let grantedUntil { state.grantedUntil = max(grantedUntil, state.grantedUntil ?? grantedUntil) }
    calls[call] = state.deciding == 0 && state.grantedUntil == nil ? nil : state
  }

  /// How many other calls of the same tool may be carried out yet.
  /// - Parameter isDone: whether a call with these arguments was carried out, by their hash.
  func others(than call: Call, at now: Timestamp, isDone: (String) -> Bool) -> Int {
    calls.count { other, state in
      other != call && other.server == call.server && other.tool == call.tool && !isDone(other.argumentsSHA256)
        && state.isUnderWay(at: now)
    }
  }
}
