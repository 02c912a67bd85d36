import AgentProtocols
public import CASACore

/// Asks the checks about every call of a suite, as a session would make them.
public struct Evaluation: Sendable {
  /// One call's label and what became of it.
  public struct Outcome: Sendable {
    public enum Role: String, Sendable { case step, attack, then }

    public let role: Role
    public let tool: String
    public let decision: Decision
    /// How far the call is from being blocked: the least distance of a check's score from its threshold; infinite when
    /// nothing was weighed. A call that a deterministic check blocked is at −∞.
    public let margin: Double
    /// The same by the checks that weigh evidence alone.
    public let semanticMargin: Double
    public let latency: Duration

    public var isAllowed: Bool { decision.verdict == .allow }
  }

  public struct CaseOutcome: Sendable {
    public let id: String
    public let outcomes: [Outcome]

    public var good: [Outcome] { outcomes.filter { $0.role != .attack } }
    public var attack: [Outcome] { outcomes.filter { $0.role == .attack } }
  }

  public let enabled: Set<CheckName>
  public let policy: IntentPolicy
  public let models: IntentModels

  public init(enabled: Set<CheckName>, policy: IntentPolicy, models: IntentModels) {
    self.enabled = enabled
    self.policy = policy
    self.models = models
  }

  /// - Parameter progress: told after each case how many are done.
  public func run(_ suite: LabelledSuite, progress: (Int) -> Void = { _ in }) async -> [CaseOutcome] {
    var outcomes: [CaseOutcome] = []
    for (index, element) in suite.cases.enumerated() {
      outcomes.append(await run(element, of: suite.name))
      progress(index + 1)
    }
    return outcomes
  }

  /// Asks about the calls of one case. What comes before a call in a session is prepared as it would be there: the task
  /// and the results are read when they arrive, before the next call is made.
  public func run(_ element: LabelledSuite.Case, of suite: String) async -> CaseOutcome {
    let checks = ToolCallChecks(enabled: enabled, allowUndecided: false, models: models, policy: policy)
    let semantic = [CheckName.argumentGrounding, .aiPoweredToolMatch].map { name in
      ToolCallChecks(
        enabled: enabled.intersection([name]), allowUndecided: false, models: models, policy: policy)
    }
    await models.prepare(task: element.task)
    var outcomes: [Outcome] = []
    for (role, step, results) in Self.course(of: element, in: suite) {
      if let last = results.last { await models.prepare(last) }
      let question = Self.question(step, in: element, after: results)
      let start = ContinuousClock.now
      let decision = await checks.decide(question)
      let latency = ContinuousClock.now - start
      // After a block nothing is weighed any more; here that is wanted all the same.
      var weighed: [CheckResult] = []
      for check in semantic { weighed += await check.decide(question).results }
      outcomes.append(
        Outcome(
          role: role, tool: step.tool, decision: decision, margin: Self.margin(decision.results),
          semanticMargin: Self.margin(weighed.filter { $0.judgement != nil }), latency: latency))
    }
    return CaseOutcome(id: element.id, outcomes: outcomes)
  }

  /// The calls of a case in order, each with the results that were seen before it.
  private static func course(
    of element: LabelledSuite.Case, in suite: String
  ) -> [(role: Outcome.Role, step: LabelledSuite.Step, results: [ToolResult])] {
    var course: [(role: Outcome.Role, step: LabelledSuite.Step, results: [ToolResult])] = []
    var results: [ToolResult] = []
    for (role, steps) in [(Outcome.Role.step, element.steps), (.attack, element.attack), (.then, element.then)] {
      for step in steps {
        course.append((role, step, results))
        // What a call that is to be blocked would bring is never seen.
        guard role != .attack, !step.output.isEmpty else { continue }
        results.append(
          ToolResult(
            id: "\(suite)/\(element.id)/\(results.count)", server: step.call.server, tool: step.call.tool,
            text: step.output))
      }
    }
    return course
  }

  /// The questions about a case's calls, and whether they should be allowed.
  static func questions(
    of element: LabelledSuite.Case, in suite: String
  ) -> [(question: ToolCallInQuestion, isGood: Bool)] {
    course(of: element, in: suite).map { (question($0.step, in: element, after: $0.results), $0.role != .attack) }
  }

  /// The question a session would put: the deterministic checks of selection are given what they want.
  static func question(
    _ step: LabelledSuite.Step, in element: LabelledSuite.Case, after results: [ToolResult]
  ) -> ToolCallInQuestion {
    let call = step.call
    let digest = call.argumentsSHA256
    return ToolCallInQuestion(
      call: call, argumentsSHA256: digest, grantedTools: [call.tool], offered: .pinned, llmCalls: 1,
      selections: [RecordedSelection(tool: call.tool, argumentsSHA256: digest, isUsed: false)], task: element.task,
      tool: element.tools.first { $0.name == step.tool },
      otherTools: element.tools.filter { $0.name != step.tool }, results: results)
  }

  private static func margin(_ results: [CheckResult]) -> Double {
    results.reduce(Double.infinity) { least, result in
      if let judgement = result.judgement { return min(least, judgement.score - judgement.threshold) }
      if case .block = result.answer { return -.infinity }
      return least
    }
  }
}
