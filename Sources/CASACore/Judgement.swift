/// How a check that weighs evidence came to its answer.
public struct Judgement: Sendable, Hashable {
  /// The greater, the more does the call serve the task.
  public let score: Double
  /// Below it a call is blocked.
  public let threshold: Double
  /// The name of the model that was asked; nil when none was.
  public let model: String?
  /// The text that was judged: the call in words, with its arguments. For those only who may read prompts.
  public let text: String

  public init(score: Double, threshold: Double, model: String?, text: String) {
    self.score = score
    self.threshold = threshold
    self.model = model
    self.text = text
  }
}
