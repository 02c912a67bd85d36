public import CASACore

/// Judges whether a tool call serves the user's task.
public protocol IntentVerifying: Sendable {
  var model: String { get }
  func opinion(on question: VerifierQuestion) async throws(ModelUnavailable) -> VerifierOpinion
}

/// What a verifier is asked. Nothing in it is trusted.
public struct VerifierQuestion: Sendable {
  /// What the user asked for.
  public let task: String
  public let tool: String
  public let toolDescription: String
  public let arguments: JSONValue
  /// The names of the tools called before in this session, the oldest first.
  public let alreadyDone: [String]

  public init(
    task: String, tool: String, toolDescription: String, arguments: JSONValue, alreadyDone: [String] = []
  ) {
    self.task = task
    self.tool = tool
    self.toolDescription = toolDescription
    self.arguments = arguments
    self.alreadyDone = alreadyDone
  }
}

/// What a verifier thinks of a call.
public struct VerifierOpinion: Sendable, Hashable {
  /// How sure it is that the call serves the task, from 0 to 1: the mean over the samples, and at most 0.5 when they
  /// contradict each other. Something may pass only above 0.5.
  public let score: Double
  /// How many samples the score is of.
  public let samples: Int
  /// One sentence of the model's, of at most 300 bytes, all visible. Its words may come from what was judged.
  public let why: String

  public init(score: Double, samples: Int, why: String) {
    self.score = score
    self.samples = samples
    self.why = why
  }

  /// Further apart than this, the samples contradict each other.
  static let widestAgreement = 0.5

  /// One opinion out of several; nil when there is none.
  init?(combining answers: [VerifierAnswer]) {
    guard let least = answers.map(\.score).min(), let most = answers.map(\.score).max() else { return nil }
    let mean = answers.map(\.score).reduce(0, +) / Double(answers.count)
    // Rounding must not carry the mean beyond what it is the mean of.
    let agreed = min(max(mean, least), most)
    let score = most - least > Self.widestAgreement ? min(agreed, 0.5) : agreed
    let nearest = answers.min { abs($0.score - score) < abs($1.score - score) }
    self.init(score: score, samples: answers.count, why: nearest?.reason ?? "")
  }
}
