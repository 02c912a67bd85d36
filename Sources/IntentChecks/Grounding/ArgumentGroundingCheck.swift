import CASACore
import TextEmbedding

/// `ARGUMENT_GROUNDING`: a call that does something names whom and what it concerns by values that come from the user,
/// from policy, or from data that the task led to; and the user's words explain it better than any tool's result does.
///
/// It goes by evidence that is relative: which text explains this call better? An injected instruction is, by its very
/// nature, a text that explains the call it asks for.
struct ArgumentGroundingCheck: Check {
  let name = CheckName.argumentGrounding
  let models: IntentModels
  let policy: IntentPolicy

  func examine(_ question: ToolCallInQuestion) async -> CheckFinding {
    guard let task = question.task, let tool = question.tool else {
      return CheckFinding(.abstain(why: "nothing to compare with"), "the user's request or the tool is not known")
    }
    guard let calibration = policy.calibration ?? .standard else {
      return CheckFinding(.block(.intentModelUnavailable), "the calibration can't be read")
    }
    let key = IntentModels.Question(
      name, policy: policy, task: task, tool: tool, argumentsSHA256: question.argumentsSHA256,
      context: question.results.map(\.id) + ["\(question.timesDone)"])
    return await models.finding(key) {
      await examine(question, task: task, tool: tool, model: calibration.grounding)
    }
  }

  private func examine(
    _ question: ToolCallInQuestion, task: String, tool: ToolDescription, model: LogisticModel
  ) async -> CheckFinding {
    let inquiry: GroundingInquiry
    switch inquire(question, task: task, tool: tool) {
    case .decided(let finding): return finding
    case .open(let open): inquiry = open
    }
    let evidence: GroundingEvidence
    do {
      evidence = try await GroundingEvidence(
        inquiry, task: models.readings.reading(ofTask: task), embeddings: models.embeddings)
    } catch {
      return CheckFinding(.block(.intentModelUnavailable), error.description)
    }
    let score = model.score(evidence.features)
    let judgement = Judgement(
      score: score, threshold: model.threshold, model: models.embeddings?.model, text: inquiry.rendering)
    guard score >= model.threshold else {
      return CheckFinding(.block(.toolParametersMismatch), evidence.explanation, judgement)
    }
    return CheckFinding(.allow, "the request explains the call, and its values come from it or from data", judgement)
  }

  /// In bytes; beyond it a value that is no running text names nothing.
  private static let longestValue = 4096
  /// Bytes of results times values to be looked for in them: about a second's work.
  private static let mostWork = 1 << 27

  private enum Step {
    case decided(CheckFinding)
    case open(GroundingInquiry)
  }

  /// All that can be decided, or found out, without a model.
  private func inquire(_ question: ToolCallInQuestion, task: String, tool: ToolDescription) -> Step {
    let all = ArgumentValue.all(in: question.call.arguments)
    guard all.count <= ArgumentValue.maximum else {
      return .decided(
        CheckFinding(
          .block(.toolParametersMismatch), "the call has more than \(ArgumentValue.maximum) values to be looked at"))
    }
    let choices = tool.choices()
    let values = all.filter { !choices.contains($0.text) }
    let bytes = question.results.reduce(0) { $0 + $1.text.utf8.count }
    guard values.allSatisfy({ $0.isProse || $0.text.utf8.count <= Self.longestValue }),
      values.count(where: { $0.kind != .other }) * bytes <= Self.mostWork
    else {
      return .decided(
        CheckFinding(.block(.toolParametersMismatch), "the call's values are too long, or too many for what was read"))
    }
    let reading = models.readings.reading(ofTask: task)
    let isRead = policy.effects(of: tool) == [.reads]
    // A read does no harm but by where it reads: an address may carry data away.
    if isRead, !values.contains(where: { $0.isAddress && !reading.searchable.contains($0) }) {
      return .decided(CheckFinding(.allow, "the tool only reads"))
    }
    let results = question.results.map { (result: $0, reading: models.readings.reading(of: $0)) }
    let oversized = results.first { $0.result.isTruncated || !$0.reading.isWhole }
    let unread = oversized ?? results.first { !$0.result.unread.isEmpty }
    let inquiry = GroundingInquiry(
      tool, values: values, task: reading, results: results.map { ($0.result.tool, $0.reading) },
      unread: unread?.result.tool, policy: policy)
    if isRead, !inquiry.values.contains(where: \.leadsAstray) {
      return .decided(CheckFinding(.allow, "the tool only reads, from where the request or data say"))
    }
    if let limit = reading.acts.limit(of: policy.effects(of: tool)), question.timesDone >= limit,
      let other = inquiry.values.first(where: \.isUnasked)
    {
      return .decided(
        CheckFinding(
          .block(.toolParametersMismatch),
          "what \(tool.name) does was done as often as the user's request asks for; \(other.parameterInWords) is not in it"
        ))
    }
    // Where the rest may say anything, nothing is there to compare the request with.
    if !isRead, oversized != nil, let unknown = inquiry.values.first(where: \.isBound) {
      return .decided(CheckFinding(.block(.toolParametersMismatch), unknown.originInWords))
    }
    if !isRead, let invented = inquiry.values.first(where: \.isInvented) {
      return .decided(
        CheckFinding(
          .block(.toolParametersMismatch),
          "\(invented.parameterInWords) is an address or account that stands neither in the user's request nor in any result"
        ))
    }
    return .open(inquiry)
  }

  /// The features of a call, for calibration; nil where no model is asked.
  func features(of question: ToolCallInQuestion) async throws(ModelUnavailable) -> [String: Double]? {
    guard let task = question.task, let tool = question.tool,
      case .open(let inquiry) = inquire(question, task: task, tool: tool)
    else { return nil }
    return try await GroundingEvidence(
      inquiry, task: models.readings.reading(ofTask: task), embeddings: models.embeddings
    ).features
  }
}
