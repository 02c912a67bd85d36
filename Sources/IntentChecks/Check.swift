public import CASACore

/// One test of a tool call. A new check is one file with one conforming type, named in `ToolCallChecks.all`.
public protocol Check: Sendable {
  var name: CheckName { get }
  func examine(_ question: ToolCallInQuestion) async -> CheckFinding
}

/// What a check says of a call.
public struct CheckFinding: Sendable, Hashable {
  public let answer: CheckAnswer
  /// One sentence for people that holds neither the prompt nor an argument's value.
  public let explanation: String
  /// What the check weighed, if it did.
  public let judgement: Judgement?

  public init(_ answer: CheckAnswer, _ explanation: String, _ judgement: Judgement? = nil) {
    self.answer = answer
    self.explanation = explanation
    self.judgement = judgement
  }
}
