import Prometheus

/// What a sidecar tells of itself, and Envoy of itself.
public struct SidecarMetrics: Sendable {
  private let envoy: ProcessState
  private let administration: EnvoyAdministration

  public init(envoy: ProcessState, administration: EnvoyAdministration) {
    self.envoy = envoy
    self.administration = administration
  }

  /// In Prometheus' format.
  public func text() async -> String {
    let statistics = envoy.isRunning ? await administration.statistics() : nil
    var text = MetricsText()
    text.gauge("casa_sidecar_envoy_up", "1 while Envoy runs and answers.", statistics == nil ? 0 : 1)
    text.counter("casa_sidecar_envoy_starts_total", "How often Envoy was started.", envoy.starts)
    if let statistics { text.append(statistics) }
    return text.text
  }
}
