import Prometheus
import Synchronization

/// What the controller did, for its metrics.
package final class ControllerCounts: Sendable {
  private struct State {
    var writes: [String: Int] = [:]
    var runs = 0
    var failures = 0
    var isLeading = false
  }

  private let state = Mutex(State())

  package init() {}

  func wrote(_ resource: KubernetesResource) { state.withLock { $0.writes[resource.plural, default: 0] += 1 } }
  func ran(failed: Bool) {
    state.withLock { state in
      state.runs += 1
      if failed { state.failures += 1 }
    }
  }
  func set(isLeading: Bool) { state.withLock { $0.isLeading = isLeading } }

  /// Prometheus' text format (0.0.4).
  func text(waiting: Int) -> String {
    let state = state.withLock { $0 }
    var text = MetricsText()
    text.gauge("casa_controller_leading", "1 while this replica does the work.", state.isLeading ? 1 : 0)
    text.gauge("casa_controller_queue_length", "Objects that wait.", waiting)
    text.counter(
      "casa_controller_reconciliations_total", "Objects that were brought to what they should be.", label: "result"
    ) { [("done", state.runs - state.failures), ("failed", state.failures)] }
    text.counter(
      "casa_controller_writes_total", "Objects that were written to the cluster.", label: "resource"
    ) { state.writes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    return text.text
  }
}
