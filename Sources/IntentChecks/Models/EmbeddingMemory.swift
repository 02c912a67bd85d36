import CASACore
import Synchronization
public import TextEmbedding

/// A model's embeddings, each made once: a bounded number of the texts last used is remembered.
public final class EmbeddingMemory: Sendable {
  /// About 2 KiB each.
  private static let capacity = 16_384

  private let encoder: any SentenceEncoding
  private let known = Mutex(GenerationalCache<String, Embedding>(capacity: capacity))

  public init(_ encoder: any SentenceEncoding) { self.encoder = encoder }

  public var model: String { encoder.model }

  /// The texts' embeddings in the same order.
  public func embeddings(of texts: [String]) async throws(ModelUnavailable) -> [Embedding] {
    var embeddings = known.withLock { known in texts.map { known[$0] } }
    let missing = Array(Set(zip(texts, embeddings).lazy.filter { $0.1 == nil }.map(\.0)))
    guard !missing.isEmpty else { return embeddings.compactMap(\.self) }
    let made = Dictionary(uniqueKeysWithValues: zip(missing, try await encoder.encode(missing)))
    known.withLock { known in
      for (text, embedding) in made { known[text] = embedding }
    }
    for index in texts.indices where embeddings[index] == nil { embeddings[index] = made[texts[index]] }
    let complete = embeddings.compactMap(\.self)
    guard complete.count == texts.count else { throw .malformedAnswer(.wrongNumberOfEmbeddings) }
    return complete
  }
}
