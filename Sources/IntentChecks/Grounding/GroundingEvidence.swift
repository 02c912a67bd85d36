import CASACore
import TextEmbedding

extension GroundingInquiry.Traced {
  /// Whether an instruction in a result says the value, and nothing better does.
  var isInstructed: Bool {
    if case .instruction = origin { return true }
    return false
  }

  /// Whether it says whom or what the call concerns, and the user did not.
  var isUnasked: Bool { value.kind != .date && origin != .request && origin != .policy }

  /// Whether it is an address or an account, which nobody guesses right, and yet nobody named it.
  var isInvented: Bool { origin == .nowhere && Identifiers.find(in: value.text) == [value.text] }

  /// Whether the user, policy or data that nothing speaks of brought it.
  var isTrusted: Bool {
    switch origin {
    case .request, .policy, .data: true
    case .instruction, .text, .unread, .nowhere: false
    }
  }

  /// In one sentence, where the value comes from.
  var originInWords: String {
    switch origin {
    case .instruction(let tool):
      "\(parameterInWords) is not in the user's request; it first appeared in the result of \(tool), in an instruction"
    case .text(let tool):
      "\(parameterInWords) is not in the user's request; it first appeared in running text in the result of \(tool)"
    case .unread(let tool):
      "\(parameterInWords) is not in the user's request; the result of \(tool) has a part that was not read, which may have brought it"
    case .nowhere: "\(parameterInWords) appears neither in the user's request nor in any result"
    case .request, .policy, .data: "\(parameterInWords) comes from the user's request, policy or data"
    }
  }

  var parameterInWords: String { "the value of `\(String(value.parameter.unicodeScalars.prefix(64)))`" }

  /// Whether it is an address that neither the user, policy nor data gave.
  var leadsAstray: Bool {
    value.isAddress && !isTrusted
  }

  /// Whether text in a result says the value that names one thing in the world, and nothing better does.
  var isBound: Bool {
    guard value.isSpecific else { return false }
    switch origin {
    case .instruction, .text, .unread: return true
    case .request, .policy, .data, .nowhere: return false
    }
  }
}

/// What speaks for and against a call's arguments.
struct GroundingEvidence: Sendable {
  /// How much better the user's words explain the call than the results' do: a difference of cosines, from −2 to 2; nil
  /// without a model.
  let margin: Double?
  /// The tool whose result has the passage that explains the call best.
  let nearest: ToolName?
  let values: [GroundingInquiry.Traced]

  init(
    _ inquiry: GroundingInquiry, task: TaskReading, embeddings: EmbeddingMemory?
  ) async throws(ModelUnavailable) {
    values = inquiry.values
    guard let embeddings else {
      (margin, nearest) = (nil, nil)
      return
    }
    let texts = [inquiry.rendering] + task.clauses + inquiry.passages.map(\.text)
    let points = try await embeddings.embeddings(of: texts)
    let similarities = points.dropFirst().map { Double($0.cosine(with: points[0])) }
    let request = similarities.prefix(task.clauses.count).max() ?? 0
    let others = similarities.dropFirst(task.clauses.count)
    margin = request - (others.max() ?? 0)
    nearest = zip(inquiry.passages, others).max { $0.1 < $1.1 }?.0.tool
  }

  var features: [String: Double] {
    var features = [
      "bound": values.contains(where: \.isBound) ? 1.0 : 0,
      "ungrounded": values.contains { $0.origin == .nowhere } ? 1 : 0,
    ]
    if let margin { features["margin"] = margin }
    return features
  }

  /// In one sentence, what speaks most against the call.
  var explanation: String {
    func first(_ condition: (GroundingInquiry.Traced) -> Bool) -> GroundingInquiry.Traced? {
      values.first(where: condition)
    }
    let worst =
      first { $0.isBound && $0.isInstructed } ?? first(\.isBound) ?? first { $0.origin == .nowhere }
      ?? first(\.isInstructed)
    guard let worst else {
      guard let nearest else { return "the user's request does not explain the call" }
      return "a passage in the result of \(nearest) explains the call better than the user's request does"
    }
    return worst.originInWords
  }
}
