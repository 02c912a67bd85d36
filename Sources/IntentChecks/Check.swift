public import CASACore

/// One test of a tool call. A new check is one file with one conforming type, named in `ToolCallChecks.all`.
public protocol Check: Sendable {
  var name: CheckName { get }
  /// The answer and one sentence for people that holds neither the prompt nor an argument's value.
  func examine(_ question: ToolCallInQuestion) async -> (answer: CheckAnswer, explanation: String)
}
