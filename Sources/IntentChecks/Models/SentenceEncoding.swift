public import TextEmbedding

/// Makes embeddings of texts, here or elsewhere.
public protocol SentenceEncoding: Sendable {
  /// Embeddings of different models can't be compared.
  var model: String { get }
  /// The texts' embeddings in the same order, all of the same dimension.
  func encode(_ texts: [String]) async throws(ModelUnavailable) -> [Embedding]
}
