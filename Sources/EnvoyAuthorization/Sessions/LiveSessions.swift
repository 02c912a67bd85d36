import AgentProtocols
import CASACore
import Enforcement
import Synchronization

/// The sessions that were delivered to a workload, or, for a client, that it began. The app sees none of their
/// tokens; what a request says of its session only chooses among those of this very workload, so knowing it gives
/// nothing.
///
/// Bounded: when it is full no further session is taken, and those that are live stay.
final class LiveSessions: Sendable {
  static let capacity = 131_072
  private static let sweepInterval = Duration.seconds(20)
  private static let maximumSelections = 262_144

  struct Session: Sendable {
    let compact: String
    let hash: TokenHash
    let expiresAt: Timestamp
  }

  enum Finding: Sendable {
    case none
    case one(TraceID, RequestRecord.Correlation)
    case several
  }

  private struct Kept {
    let token: PackedToken
    let expiresAt: Timestamp
  }

  private struct Selection: Hashable {
    let tool: ToolName
    let argumentsSHA256: String
  }

  /// Who spoke of an A2A conversation last, and in which session.
  private struct Conversation {
    var trace: TraceID
    let caller: AppID?
    /// Another caller spoke of it in another session while this one was live: what names it belongs to nobody's for
    /// sure.
    var isShared = false
  }

  private struct State {
    var sessions: [TraceID: Kept] = [:]
    var examples = PackedToken.Examples()
    var texts = TextIndex()
    var conversations = GenerationalCache<String, Conversation>(capacity: 50_000)
    /// How often each call was selected and not yet made, by session.
    var selections: [Selection: [TraceID: Int]] = [:]
    var selectionCount = 0
    var sweptAt: Timestamp?
  }

  private let state = Mutex(State())
  private let clock: WallClock

  init(clock: WallClock) { self.clock = clock }

  var count: Int { state.withLock { $0.sessions.count } }

  /// A session's token with what came with it.
  /// - Parameters:
  ///   - text: the words by which the session's requests can be recognized.
  ///   - contextID: A2A's name for the conversation.
  ///   - caller: who delivered the session; nil for one that the app began itself.
  /// - Throws: `Refusal` when there is no room.
  func take(
    _ compact: String, expiresAt: Timestamp, in trace: TraceID, text: String?, contextID: String?,
    from caller: AppID?
  ) throws(Refusal) {
    let now = clock.now()
    let hasRoom = state.withLock { state -> Bool in
      if state.sweptAt.map({ $0 + Self.sweepInterval < now }) ?? true { Self.sweep(&state, now: now) }
      guard state.sessions.count < Self.capacity || state.sessions[trace] != nil else { return false }
      guard let token = PackedToken(compact, sharing: &state.examples) else { return false }
      state.sessions[trace] = Kept(token: token, expiresAt: expiresAt)
      if let text { state.texts.insert(text, for: trace) }
      if let contextID { Self.join(contextID, in: trace, from: caller, &state, now: now) }
      return true
    }
    guard hasRoom else { throw Refusal(.overloaded, "too many sessions are live in this workload") }
  }

  /// The session's token, good for a few seconds more.
  func session(_ trace: TraceID) -> Session? {
    let limit = clock.now() + .seconds(2)
    let kept = state.withLock { $0.sessions[trace] }
    guard let kept, kept.expiresAt > limit else { return nil }
    let compact = kept.token.compact
    return Session(compact: compact, hash: tokenHash(compact), expiresAt: kept.expiresAt)
  }

  /// The LLM selected these calls in a session.
  func select(_ calls: [ToolSelection], in trace: TraceID) {
    state.withLock { state in
      for call in calls where state.selectionCount < Self.maximumSelections {
        let key = Selection(tool: call.tool, argumentsSHA256: call.argumentsSHA256)
        state.selections[key, default: [:]][trace, default: 0] += 1
        state.selectionCount += 1
      }
    }
  }

  /// One of the selected calls was granted.
  func use(_ tool: ToolName, argumentsSHA256: String, in trace: TraceID) {
    state.withLock { state in
      let key = Selection(tool: tool, argumentsSHA256: argumentsSHA256)
      guard let count = state.selections[key]?[trace] else { return }
      state.selections[key]?[trace] = count > 1 ? count - 1 : nil
      if state.selections[key]?.isEmpty ?? false { state.selections[key] = nil }
      state.selectionCount -= 1
    }
  }

  /// The session of a call that names none: the one it can belong to, or none is found.
  func find(_ call: EgressCall.Content) -> Finding {
    let now = clock.now()
    return state.withLock { state in
      func isLive(_ trace: TraceID) -> Bool { state.sessions[trace].map { $0.expiresAt > now } ?? false }
      func finding(_ traces: some Sequence<TraceID>, _ correlation: RequestRecord.Correlation) -> Finding {
        let live = traces.filter(isLive)
        return live.count > 1 ? .several : live.first.map { .one($0, correlation) } ?? .none
      }
      func finding(_ texts: [String]) -> Finding {
        switch state.texts.find(in: texts, among: isLive) {
        case .none: .none
        case .one(let trace): .one(trace, .content)
        case .several: .several
        }
      }
      func onlySession() -> Finding {
        var live: [TraceID] = []
        for (trace, kept) in state.sessions where kept.expiresAt > now {
          live.append(trace)
          if live.count == 2 { break }
        }
        return finding(live, .onlySession)
      }
      switch call {
      case .llm(let texts): return finding(texts)
      case .toolCall(let call):
        let key = Selection(tool: call.tool, argumentsSHA256: call.argumentsSHA256)
        guard let traces = state.selections[key]?.keys else { return .none }
        return finding(traces, .content)
      case .agent(let text, let contextID):
        if let conversation = contextID.flatMap({ state.conversations[$0] }) {
          return conversation.isShared ? .several : finding([conversation.trace], .context)
        }
        return text.map { finding([$0]) } ?? onlySession()
      case .mcp, .stream, .sessionEnd, .card: return onlySession()
      }
    }
  }

  private static func join(
    _ contextID: String, in trace: TraceID, from caller: AppID?, _ state: inout State, now: Timestamp
  ) {
    var joined = Conversation(trace: trace, caller: caller)
    if let known = state.conversations[contextID], state.sessions[known.trace].map({ $0.expiresAt > now }) ?? false {
      joined.isShared = known.isShared || (known.caller != caller && known.trace != trace)
    }
    state.conversations[contextID] = joined
  }

  private static func sweep(_ state: inout State, now: Timestamp) {
    state.sweptAt = now
    let ended = Set(state.sessions.lazy.filter { $0.value.expiresAt <= now }.map(\.key))
    guard !ended.isEmpty else { return }
    for trace in ended { state.sessions[trace] = nil }
    state.texts.remove(where: ended.contains)
    for (key, traces) in state.selections {
      let left = traces.filter { !ended.contains($0.key) }
      guard left.count < traces.count else { continue }
      state.selections[key] = left.isEmpty ? nil : left
      state.selectionCount -= traces.values.reduce(0, +) - left.values.reduce(0, +)
    }
  }
}
