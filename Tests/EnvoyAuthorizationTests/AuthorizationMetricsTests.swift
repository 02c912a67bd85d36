import CASACore
import Sidecar
import Testing

@testable import EnvoyAuthorization

@Suite("What the authorization service tells of itself")
struct AuthorizationMetricsTests {
  @Test("counts questions by adapter, direction, verdict and reason, and the time they took by direction")
  func questions() {
    let metrics = AuthorizationMetrics()
    for _ in 0..<3 { metrics.count(.grpc, .ingress, refusal: nil, duration: .milliseconds(2)) }
    metrics.count(.module, .egress(0), refusal: .tokenMissing, duration: .seconds(1))
    metrics.count(.lua, nil, refusal: .destinationNotAllowed, duration: .zero)
    let lines = metrics.text.split(separator: "\n").map(String.init)
    for line in [
      #"casa_authorize_questions_total{adapter="grpc",direction="ingress",verdict="allow",reason=""} 3"#,
      #"casa_authorize_questions_total{adapter="module",direction="egress",verdict="refuse",reason="token_missing"} 1"#,
      #"casa_authorize_questions_total{adapter="lua",direction="",verdict="refuse",reason="destination_not_allowed"} 1"#,
      #"casa_authorize_seconds_count{direction="ingress"} 3"#,
      #"casa_authorize_seconds_bucket{direction="ingress",le="0.001"} 0"#,
      #"casa_authorize_seconds_bucket{direction="egress",le="1.0"} 1"#,
    ] {
      #expect(lines.contains(line), "\(line) is not in \(lines)")
    }
  }

  @Test("counts what was found in memory, what Envoys decided, and what was stopped")
  func counters() {
    let metrics = AuthorizationMetrics()
    metrics.count(.answers, isFound: true)
    metrics.count(.activeTokens, isFound: false)
    metrics.countDecidedInEnvoy(7)
    metrics.countStopped(.llmResponseUnreadable)
    metrics.countUnknownSidecar()
    let lines = metrics.text.split(separator: "\n").map(String.init)
    for line in [
      #"casa_authorize_cache_total{cache="answers",result="hit"} 1"#,
      #"casa_authorize_cache_total{cache="answers",result="miss"} 0"#,
      #"casa_authorize_cache_total{cache="active_tokens",result="miss"} 1"#,
      "casa_authorize_decided_in_envoy_total 7",
      #"casa_authorize_answers_stopped_total{reason="llm_response_unreadable"} 1"#,
      "casa_authorize_unknown_sidecars_total 1", "casa_authorize_sessions 0",
    ] {
      #expect(lines.contains(line), "\(line) is not in \(lines)")
    }
  }
}
