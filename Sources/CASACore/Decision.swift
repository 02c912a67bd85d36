/// All checks' answers on one tool call and the verdict that follows from them.
public struct Decision: Sendable, Hashable {
  public let id: DecisionID
  public let results: [CheckResult]
  public let verdict: Verdict

  /// Combines `results`: a block is final; without any allow the call is refused; an abstention beside an allow
  /// passes. With `allowUndecided` a call that no check decided passes too, which a MAS has to ask for.
  public init(id: DecisionID, results: [CheckResult], allowUndecided: Bool) {
    self.id = id
    self.results = results
    for case .block(let reason) in results.lazy.map(\.answer) {
      verdict = .refuse(reason)
      return
    }
    let allowed = results.contains { $0.answer == .allow }
    verdict = allowed || allowUndecided ? .allow : .refuse(.noCheckAllowed)
  }
}
