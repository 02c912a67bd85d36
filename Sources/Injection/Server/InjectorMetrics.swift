import Foundation
import Synchronization

/// What `/metrics` tells (Prometheus text format 0.0.4). No label holds anything a caller chose.
final class InjectorMetrics: Sendable {
  enum Outcome: String, CaseIterable {
    case patched, allowed, refused
    /// No review that could be answered.
    case malformed
    /// Too many were under way.
    case busy
  }

  private struct Series: Hashable {
    let webhook: Admission.Webhook
    let outcome: Outcome
  }

  private struct State {
    var reviews: [Series: Int] = [:]
    var seconds: [Admission.Webhook: Double] = [:]
  }

  private let state = Mutex(State())

  func count(_ webhook: Admission.Webhook, _ outcome: Outcome, duration: Duration) {
    state.withLock { state in
      state.reviews[Series(webhook: webhook, outcome: outcome), default: 0] += 1
      state.seconds[webhook, default: 0] +=
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }
  }

  func text(certificateExpires: Date, reloads: Int, failures: Int) -> String {
    let state = self.state.withLock { $0 }
    var lines = [
      "# HELP casa_admission_reviews_total Reviews answered.", "# TYPE casa_admission_reviews_total counter",
    ]
    for webhook in Admission.Webhook.allCases {
      for outcome in Outcome.allCases {
        let count = state.reviews[Series(webhook: webhook, outcome: outcome), default: 0]
        lines.append(
          "casa_admission_reviews_total{webhook=\"\(webhook.rawValue)\",outcome=\"\(outcome.rawValue)\"} \(count)")
      }
    }
    lines += [
      "# HELP casa_admission_seconds_total Time spent answering reviews.",
      "# TYPE casa_admission_seconds_total counter",
    ]
    for webhook in Admission.Webhook.allCases {
      lines.append(
        "casa_admission_seconds_total{webhook=\"\(webhook.rawValue)\"} \(state.seconds[webhook, default: 0])")
    }
    lines += [
      "# HELP casa_certificate_expires_seconds When the certificate in use expires, since 1970.",
      "# TYPE casa_certificate_expires_seconds gauge",
      "casa_certificate_expires_seconds \(Int(certificateExpires.timeIntervalSince1970))",
      "# HELP casa_certificate_reloads_total Certificates taken over while running.",
      "# TYPE casa_certificate_reloads_total counter", "casa_certificate_reloads_total \(reloads)",
      "# HELP casa_certificate_failures_total Changed certificates that could not be used.",
      "# TYPE casa_certificate_failures_total counter", "casa_certificate_failures_total \(failures)",
    ]
    return lines.joined(separator: "\n") + "\n"
  }
}
