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
    features = [
      "similarity": similarities[0],
      "margin": similarities.dropFirst().max().map { similarities[0] - $0 } ?? 0,
      "coverage": task.searchable.coverage(of: Words.humanized(tool.name)),
    ]
  }

  private static let maximumOthers = 256

  static func text(of tool: ToolDescription) -> String { "\(Words.humanized(tool.name)): \(tool.description)" }
}
