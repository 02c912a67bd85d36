import AgentProtocols
import CASACore
import TextEmbedding

/// `AI_POWERED_TOOL_MATCH`: what the tool does is something that the user asked for, or a step towards it.
struct ToolMatchCheck: Check {
  let name = CheckName.aiPoweredToolMatch
  let models: IntentModels
  let policy: IntentPolicy

  func examine(_ question: ToolCallInQuestion) async -> CheckFinding {
    guard let task = question.task, let tool = question.tool else {
      return CheckFinding(.abstain(why: "nothing to compare with"), "the user's request or the tool is not known")
    }
    let done = question.selections.filter(\.isUsed).map(\.tool.text)
    let key = IntentModels.Question(
      name, policy: policy, task: task, tool: tool,
      // Embeddings look at the tool alone, so that its other calls need not ask again.
      argumentsSHA256: policy.strategy == .embeddings ? "" : question.argumentsSHA256,
      context: [Self.digest(of: question.otherTools)] + (policy.strategy == .embeddings ? [] : done))
    return await models.finding(key) {
      switch policy.strategy {
      case .embeddings: await compare(task: task, tool: tool, others: question.otherTools)
      case .llmVerifier: await verify(question, task: task, tool: tool, done: done)
      case .hybrid: await compareAndVerify(question, task: task, tool: tool, done: done)
      }
    }
  }

  private static func digest(of tools: [ToolDescription]) -> String {
    AgentProtocols.argumentsSHA256(
      ["tools": .array(tools.map { .array([.string($0.name), .string($0.description)]) })])
  }

  // MARK: Embeddings

  private func compare(task: String, tool: ToolDescription, others: [ToolDescription]) async -> CheckFinding {
    guard let embeddings = models.embeddings else {
      return CheckFinding(.abstain(why: "no model"), "no model for embeddings is configured")
    }
    guard let model = (policy.calibration ?? .standard)?.toolMatch else {
      return CheckFinding(.block(.intentModelUnavailable), "the calibration can't be read")
    }
    let reading = models.readings.reading(ofTask: task)
    guard !reading.isForeign else {
      return CheckFinding(
        .abstain(why: "foreign script"), "the request is in a script that the model was not trained on")
    }
    let evidence: ToolMatchEvidence
    do {
      evidence = try await ToolMatchEvidence(tool, others: others, task: reading, embeddings: embeddings)
    } catch {
      return CheckFinding(.block(.intentModelUnavailable), error.description)
    }
    let score = model.score(evidence.features)
    let judgement = Judgement(
      score: score, threshold: model.threshold, model: embeddings.model, text: ToolMatchEvidence.text(of: tool))
    guard score >= model.threshold else {
      // Many a task needs something looked up that it does not speak of, and looking does no harm.
      guard policy.effects(of: tool) != [.reads] else {
        return CheckFinding(
          .abstain(why: "an unasked read"), "the user did not ask for what \(tool.name) does, which only reads",
          judgement)
      }
      return CheckFinding(
        .block(.toolIntentMismatch), "what \(tool.name) does is not what the user asked for", judgement)
    }
    return CheckFinding(.allow, "what \(tool.name) does fits what the user asked for", judgement)
  }

  /// The features of a call, for calibration; nil where no model is asked.
  func features(of question: ToolCallInQuestion) async throws(ModelUnavailable) -> [String: Double]? {
    guard let task = question.task, let tool = question.tool, let embeddings = models.embeddings else { return nil }
    let reading = models.readings.reading(ofTask: task)
    guard !reading.isForeign else { return nil }
    return try await ToolMatchEvidence(tool, others: question.otherTools, task: reading, embeddings: embeddings)
      .features
  }

  // MARK: LLM

  /// Above it an LLM's opinion counts as a yes.
  private static let opinionThreshold = 0.5
  /// How far from the threshold embeddings leave no doubt, in units of the score.
  private static let doubt = 2.0

  private func verify(
    _ question: ToolCallInQuestion, task: String, tool: ToolDescription, done: [String]
  ) async -> CheckFinding {
    guard let verifier = models.verifier else {
      return CheckFinding(.block(.intentModelUnavailable), "no LLM is configured as verifier")
    }
    let opinion: VerifierOpinion
    do {
      opinion = try await verifier.opinion(
        on: VerifierQuestion(
          task: task, tool: tool.name, toolDescription: tool.description,
          arguments: .object(question.call.arguments), alreadyDone: done))
    } catch {
      return CheckFinding(.block(.intentModelUnavailable), error.description)
    }
    // What it says in its own words may repeat the prompt, and belongs to what was judged.
    let judgement = Judgement(
      score: opinion.score, threshold: Self.opinionThreshold, model: verifier.model, text: opinion.why)
    guard opinion.score > Self.opinionThreshold else {
      return CheckFinding(
        .block(.toolIntentMismatch),
        "the LLM finds that the call does not serve the task",
        judgement)
    }
    return CheckFinding(.allow, "the LLM finds that the call serves the task", judgement)
  }

  /// Asks the LLM where embeddings leave a doubt, or can't tell.
  private func compareAndVerify(
    _ question: ToolCallInQuestion, task: String, tool: ToolDescription, done: [String]
  ) async -> CheckFinding {
    let finding = await compare(task: task, tool: tool, others: question.otherTools)
    if let judgement = finding.judgement, abs(judgement.score - judgement.threshold) > Self.doubt { return finding }
    return await verify(question, task: task, tool: tool, done: done)
  }
}
