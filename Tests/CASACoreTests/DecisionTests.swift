import CASACore
import Testing

@Suite("A decision")
struct DecisionTests {
  private func verdict(_ answers: [CheckAnswer], allowUndecided: Bool = false) -> Verdict {
    let results = answers.map {
      CheckResult(check: .deterministicToolSelected, answer: $0, explanation: "", latency: .zero)
    }
    return Decision(id: .random(prefix: "dec"), results: results, allowUndecided: allowUndecided).verdict
  }

  private let abstention = CheckAnswer.abstain(why: "nothing to go on")

  @Test("allows when a check allows and none blocks")
  func allows() {
    #expect(verdict([.allow]) == .allow)
    #expect(verdict([.allow, .allow]) == .allow)
    #expect(verdict([abstention, .allow]) == .allow)
    #expect(verdict([.allow, abstention]) == .allow)
  }

  @Test("refuses with a block's reason, whatever the others say", arguments: [false, true])
  func blocks(allowUndecided: Bool) {
    let block = CheckAnswer.block(.unknownTool)
    for answers in [[block], [block, .allow], [.allow, block], [.allow, abstention, block], [abstention, block]] {
      #expect(verdict(answers, allowUndecided: allowUndecided) == .refuse(.unknownTool))
    }
  }

  @Test("gives the first of several blocks' reasons")
  func firstBlock() {
    #expect(verdict([.allow, .block(.insufficientScope), .block(.unknownTool)]) == .refuse(.insufficientScope))
  }

  @Test("refuses what no check allowed unless that was asked for")
  func undecided() {
    #expect(verdict([]) == .refuse(.noCheckAllowed))
    #expect(verdict([abstention]) == .refuse(.noCheckAllowed))
    #expect(verdict([], allowUndecided: true) == .allow)
    #expect(verdict([abstention, abstention], allowUndecided: true) == .allow)
  }

  @Test("keeps every check's answer")
  func results() {
    let result = CheckResult(
      check: .deterministicLLMSelectedTools, answer: .allow, explanation: "why", latency: .milliseconds(3))
    let decision = Decision(id: DecisionID("dec_1"), results: [result], allowUndecided: false)
    #expect(decision.results == [result])
    #expect(decision.id == DecisionID("dec_1"))
  }
}

@Suite("A scope")
struct ScopeTests {
  @Test("can be exchanged only when it is user-input, and never for discover-tools")
  func exchanges() {
    for scope in Scope.allCases {
      for narrower in Scope.allCases {
        let permitted = scope == .userInput && narrower != .discoverTools
        #expect(scope.permitsExchange(to: narrower) == permitted)
      }
    }
  }

  @Test("goes by the names on the wire")
  func names() {
    #expect(Set(Scope.allCases.map(\.rawValue)) == ["user-input", "llm-access", "call-tools", "discover-tools"])
  }
}
