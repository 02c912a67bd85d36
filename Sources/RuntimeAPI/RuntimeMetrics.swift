import Synchronization
import TokenService

/// What `/metrics` tells (Prometheus text format 0.0.4). No label holds anything a caller chose.
final class RuntimeMetrics: Sendable {
  private struct Series: Hashable {
    let route: String
    let status: Int
  }

  private struct State {
    var requests: [Series: Int] = [:]
    var seconds: [String: Double] = [:]
    var refusals: [String: Int] = [:]
    var exfiltrations: [TokenExfiltration.Reason: Int] = [:]
  }

  private let state = Mutex(State())

  func count(route: String, status: Int, duration: Duration) {
    state.withLock { state in
      state.requests[Series(route: route, status: status), default: 0] += 1
      state.seconds[route, default: 0] +=
        Double(duration.components.seconds)
        + Double(duration.components.attoseconds) / 1e18
    }
  }

  /// - Parameter reason: a raw value of `RefusalReason`.
  func countRefusal(_ reason: String) { state.withLock { $0.refusals[reason, default: 0] += 1 } }

  func countExfiltration(_ reason: TokenExfiltration.Reason) {
    state.withLock { $0.exfiltrations[reason, default: 0] += 1 }
  }

  /// - Parameters:
  ///   - backlog: how many events queries don't know of yet; nil when that can't be told now.
  ///   - unreadable: how many events were left out of what queries know.
  ///   - streams: how many live streams are open.
  func text(sessions: Int, backlog: Int64?, unreadable: Int, streams: Int) -> String {
    let state = self.state.withLock { $0 }
    var lines = [
      "# HELP casa_http_requests_total Requests answered.", "# TYPE casa_http_requests_total counter",
    ]
    let requests = state.requests.sorted { ($0.key.route, $0.key.status) < ($1.key.route, $1.key.status) }
    for (series, count) in requests {
      lines.append("casa_http_requests_total{route=\"\(series.route)\",status=\"\(series.status)\"} \(count)")
    }
    lines += [
      "# HELP casa_http_request_seconds_total Time spent answering.",
      "# TYPE casa_http_request_seconds_total counter",
    ]
    for (route, seconds) in state.seconds.sorted(by: { $0.key < $1.key }) {
      lines.append("casa_http_request_seconds_total{route=\"\(route)\"} \(seconds)")
    }
    lines += ["# HELP casa_refusals_total Refusals by reason.", "# TYPE casa_refusals_total counter"]
    for (reason, count) in state.refusals.sorted(by: { $0.key < $1.key }) {
      lines.append("casa_refusals_total{reason=\"\(reason)\"} \(count)")
    }
    lines += [
      "# HELP casa_token_exfiltrations_total Tokens that nodes saw where they were not issued for.",
      "# TYPE casa_token_exfiltrations_total counter",
    ]
    for reason in TokenExfiltration.Reason.allCases {
      lines.append(
        "casa_token_exfiltrations_total{reason=\"\(reason.rawValue)\"} \(state.exfiltrations[reason, default: 0])")
    }
    lines += [
      "# HELP casa_live_sessions Sessions with a live token.", "# TYPE casa_live_sessions gauge",
      "casa_live_sessions \(sessions)",
      "# HELP casa_trace_streams Live streams of the trace that are open.", "# TYPE casa_trace_streams gauge",
      "casa_trace_streams \(streams)",
      "# HELP casa_trace_unreadable_events_total Events that this runtime could not read and left out of what queries tell.",
      "# TYPE casa_trace_unreadable_events_total counter", "casa_trace_unreadable_events_total \(unreadable)",
    ]
    if let backlog {
      lines += [
        "# HELP casa_trace_backlog_events Events that queries of the trace do not know of yet.",
        "# TYPE casa_trace_backlog_events gauge", "casa_trace_backlog_events \(backlog)",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
