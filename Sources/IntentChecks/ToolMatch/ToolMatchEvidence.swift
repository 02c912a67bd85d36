import TextEmbedding

/// How well a tool fits a request.
struct ToolMatchEvidence: Sendable {
  let features: [String: Double]

  init(
    _ tool: ToolDescription, others: [ToolDescription], task: TaskReading, embeddings: EmbeddingMemory
  ) async throws(ModelUnavailable) {
    let tools = [tool] + others.prefix(Self.maximumOthers)
    let points = try await embeddings.embeddings(of: tools.map(Self.text) + task.clauses)
    let clauses = points.dropFirst(tools.count)
    let similarities = points.prefix(tools.count).map { point in
      clauses.map { Double($0.cosine(with: point)) }.max() ?? 0
    }
    let coverage = task.searchable.coverage(of: Words.humanized(tool.name))
    // With others to choose from, what counts is how this one compares with them: how like a request is to its tool
    // differs from one way of speaking to another.
    if let best = similarities.dropFirst().max() {
      features = ["margin": similarities[0] - best, "coverage": coverage]
    } else {
      features = ["similarity": similarities[0], "coverageAlone": coverage]
    }
  }

  private static let maximumOthers = 256

  /// The encoder reads no further either.
  private static let describedLength = 2000

  static func text(of tool: ToolDescription) -> String {
    "\(Words.humanized(tool.name)): \(String(tool.description.unicodeScalars.prefix(describedLength)))"
  }
}
