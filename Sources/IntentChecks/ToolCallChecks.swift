public import CASACore

/// The checks a MAS has switched on, run in the order of `CheckName`: the deterministic ones first.
public struct ToolCallChecks: Sendable {
  /// Every check there is.
  private static func all(_ models: IntentModels, _ policy: IntentPolicy) -> [any Check] {
    [
      ToolSelectedCheck(), LLMSelectedToolsCheck(), ToolArgumentsCheck(),
      ArgumentGroundingCheck(models: models, policy: policy), ToolMatchCheck(models: models, policy: policy),
    ]
  }

  private let checks: [any Check]
  private let allowUndecided: Bool

  public init(
    enabled: Set<CheckName>, allowUndecided: Bool, models: IntentModels = IntentModels(),
    policy: IntentPolicy = IntentPolicy()
  ) {
    checks = Self.all(models, policy).filter { enabled.contains($0.name) }
    self.allowUndecided = allowUndecided
  }

  /// Asks every check and combines their answers. After a block nobody asks a model any more.
  public func decide(_ question: ToolCallInQuestion) async -> Decision {
    let clock = ContinuousClock()
    var results: [CheckResult] = []
    results.reserveCapacity(checks.count)
    for check in checks {
      if check.name.asksModels, results.contains(where: \.isBlock) { continue }
      let start = clock.now
      let finding = await check.examine(question)
      results.append(
        CheckResult(
          check: check.name, answer: finding.answer, explanation: finding.explanation, latency: clock.now - start,
          judgement: finding.judgement))
    }
    return Decision(id: .random(prefix: "dec"), results: results, allowUndecided: allowUndecided)
  }
}

extension CheckName {
  /// Whether the check compares the call with the user's request and with what tools answered.
  public var asksModels: Bool {
    switch self {
    case .deterministicToolSelected, .deterministicLLMSelectedTools, .deterministicToolArguments: false
    case .argumentGrounding, .aiPoweredToolMatch: true
    }
  }
}

extension CheckResult {
  fileprivate var isBlock: Bool {
    if case .block = answer { return true }
    return false
  }
}
