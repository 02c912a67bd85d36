public import CASACore

/// The checks a MAS has switched on, run in the order of `CheckName`: the deterministic ones first.
public struct ToolCallChecks: Sendable {
  /// Every check there is.
  private static let all: [any Check] = [ToolSelectedCheck(), LLMSelectedToolsCheck()]

  private let checks: [any Check]
  private let allowUndecided: Bool

  public init(enabled: Set<CheckName>, allowUndecided: Bool) {
    checks = Self.all.filter { enabled.contains($0.name) }
    self.allowUndecided = allowUndecided
  }

  /// Asks every check and combines their answers.
  public func decide(_ question: ToolCallInQuestion) async -> Decision {
    let clock = ContinuousClock()
    var results: [CheckResult] = []
    results.reserveCapacity(checks.count)
    for check in checks {
      let start = clock.now
      let (answer, explanation) = await check.examine(question)
      results.append(
        CheckResult(
          check: check.name, answer: answer, explanation: explanation, latency: clock.now - start))
    }
    return Decision(id: .random(prefix: "dec"), results: results, allowUndecided: allowUndecided)
  }
}
