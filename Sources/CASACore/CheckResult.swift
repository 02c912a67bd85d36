/// One check's answer with what it took to reach it.
public struct CheckResult: Sendable, Hashable {
  public let check: CheckName
  public let answer: CheckAnswer
  /// One sentence for people; never the prompt or an argument's value.
  public let explanation: String
  public let latency: Duration
  /// What a check that weighs evidence went by.
  public let judgement: Judgement?

  public init(
    check: CheckName, answer: CheckAnswer, explanation: String, latency: Duration, judgement: Judgement? = nil
  ) {
    self.check = check
    self.answer = answer
    self.explanation = explanation
    self.latency = latency
    self.judgement = judgement
  }
}
