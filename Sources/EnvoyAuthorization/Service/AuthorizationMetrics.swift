import CASACore
import Enforcement
import Prometheus
import Sidecar
import Synchronization

/// What the authorization service tells of itself. No label holds anything a caller chose.
public final class AuthorizationMetrics: Sendable {
  /// What is remembered so that the runtime need not be asked.
  enum Cache: String, CaseIterable {
    /// Whole answers to Envoy.
    case answers
    /// That a token is active.
    case activeTokens = "active_tokens"
    /// Tokens that were exchanged for a session.
    case exchangedTokens = "exchanged_tokens"
  }

  private struct Question: Hashable {
    let adapter: Workload.Adapter
    /// nil where the proxy did not say.
    let direction: Direction?
    /// nil when the request was let pass.
    let refusal: RefusalReason?
  }

  private struct State {
    var questions: [Question: Int] = [:]
    var durations: [Direction?: DurationHistogram] = [:]
    var found: [Cache: Int] = [:]
    var missed: [Cache: Int] = [:]
    var decidedInEnvoy = 0
    var stopped: [RefusalReason: Int] = [:]
    var unknownSidecars = 0
    var workloads: [GuardedWorkload] = []
  }

  private let state = Mutex(State())

  init() {}

  /// The service begins to answer for these.
  func watch(_ workloads: [GuardedWorkload]) { state.withLock { $0.workloads = workloads } }

  /// A question of Envoy's was answered.
  /// - Parameters:
  ///   - listener: nil when the proxy did not say which one asks.
  ///   - refusal: nil when the request was let pass.
  func count(
    _ adapter: Workload.Adapter, _ listener: Listener?, refusal: RefusalReason?, duration: Duration
  ) {
    let direction = listener?.direction
    state.withLock { state in
      state.questions[Question(adapter: adapter, direction: direction, refusal: refusal), default: 0] += 1
      state.durations[direction, default: DurationHistogram()].record(duration)
    }
  }

  func count(_ cache: Cache, isFound: Bool) {
    state.withLock { state in
      if isFound { state.found[cache, default: 0] += 1 } else { state.missed[cache, default: 0] += 1 }
    }
  }

  /// Envoys let so many requests pass by what they were told before.
  func countDecidedInEnvoy(_ count: Int) { state.withLock { $0.decidedInEnvoy += count } }

  /// An answer of an LLM's or a tool's did not reach the app.
  func countStopped(_ reason: RefusalReason) { state.withLock { $0.stopped[reason, default: 0] += 1 } }

  func countUnknownSidecar() { state.withLock { $0.unknownSidecars += 1 } }

  /// In Prometheus' format.
  public var text: String {
    let state = self.state.withLock { $0 }
    var text = MetricsText()
    text.counter(
      "casa_authorize_questions_total", "Questions of Envoys by how they were answered.",
      state.questions.map { question, count -> (labels: [MetricsText.Label], value: Int) in
        (
          labels: [
            (name: "adapter", value: question.adapter.rawValue),
            (name: "direction", value: question.direction?.rawValue ?? ""),
            (name: "verdict", value: question.refusal == nil ? "allow" : "refuse"),
            (name: "reason", value: question.refusal?.rawValue ?? ""),
          ], value: count
        )
      }.sorted { $0.labels.map(\.value).lexicographicallyPrecedes($1.labels.map(\.value)) })
    text.histogram(
      "casa_authorize_seconds", "Time until a question was answered.",
      state.durations.map { direction, durations -> (labels: [MetricsText.Label], durations: DurationHistogram) in
        (labels: [(name: "direction", value: direction?.rawValue ?? "")], durations: durations)
      }.sorted { $0.labels[0].value < $1.labels[0].value })
    text.counter(
      "casa_authorize_cache_total", "Looks into what is remembered, and whether it was there.",
      Cache.allCases.flatMap { cache in
        [("hit", state.found[cache] ?? 0), ("miss", state.missed[cache] ?? 0)].map {
          result, count -> (labels: [MetricsText.Label], value: Int) in
          (labels: [(name: "cache", value: cache.rawValue), (name: "result", value: result)], value: count)
        }
      })
    text.counter(
      "casa_authorize_decided_in_envoy_total", "Requests that Envoys let pass by what they were told before.",
      state.decidedInEnvoy)
    text.counter(
      "casa_authorize_answers_stopped_total", "Answers of LLMs and tools that did not reach the app.", label: "reason"
    ) {
      state.stopped.map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 }
    }
    text.counter(
      "casa_authorize_unknown_sidecars_total", "Questions with a key that no workload's sidecar has.",
      state.unknownSidecars)
    text.gauge("casa_authorize_workloads", "Workloads that are answered for.", state.workloads.count)
    text.gauge(
      "casa_authorize_sessions", "Sessions whose tokens are held.", state.workloads.map(\.sessions.count).reduce(0, +))
    text.gauge(
      "casa_authorize_reports_waiting", "Reports that the runtime does not have yet.",
      state.workloads.map(\.reporter.waiting).reduce(0, +))
    text.counter(
      "casa_authorize_reports_lost_total", "Reports that the runtime never got.",
      state.workloads.map(\.reporter.lost).reduce(0, +))
    text.gauge(
      "casa_authorize_runtime_reachable", "1 while the runtime answers whatever it was asked last.",
      state.workloads.allSatisfy(\.runtime.contact.isReachable) ? 1 : 0)
    return text.text
  }
}
