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
    var lines = [
      "# HELP casa_controller_leading Whether this replica does the work.", "# TYPE casa_controller_leading gauge",
      "casa_controller_leading \(state.isLeading ? 1 : 0)",
      "# HELP casa_controller_reconciliations_total Objects that were brought to what they should be.",
      "# TYPE casa_controller_reconciliations_total counter",
      "casa_controller_reconciliations_total{result=\"done\"} \(state.runs - state.failures)",
      "casa_controller_reconciliations_total{result=\"failed\"} \(state.failures)",
      "# HELP casa_controller_queue_length Objects that wait.", "# TYPE casa_controller_queue_length gauge",
      "casa_controller_queue_length \(waiting)",
      "# HELP casa_controller_writes_total Objects that were written to the cluster.",
      "# TYPE casa_controller_writes_total counter",
    ]
    for (plural, count) in state.writes.sorted(by: { $0.key < $1.key }) {
      lines.append("casa_controller_writes_total{resource=\"\(plural)\"} \(count)")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
