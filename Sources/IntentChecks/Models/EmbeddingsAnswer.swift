import AgentProtocols
import CASACore
import TextEmbedding

/// Answers of the embeddings API.
enum EmbeddingsAnswer {
  static let maximumDimension = 4096
  static let mostTexts = 64

  /// How large an answer for so many texts may be: a component takes up to 24 bytes.
  static func maximumBytes(texts: Int) -> Int { (64 << 10) + texts * (128 << 10) }

  /// The embeddings in the order of the texts, by their `index`.
  /// - Parameters:
  ///   - count: of the texts.
  ///   - dimension: how many components each must have; nil when any number will do that is the same for all.
  static func embeddings(
    in body: [UInt8], count: Int, dimension: Int?
  ) throws(AnswerDefect) -> [Embedding] {
    let limits = JSONLimits(
      maximumBytes: maximumBytes(texts: count), maximumDepth: 6,
      maximumNodes: 1000 + count * (maximumDimension + 10))
    guard body.count <= limits.maximumBytes else { throw .tooLarge }
    guard let json = try? JSONValue(parsing: body, limits: limits), json.object != nil else { throw .notJSON }
    guard let list = json["data"]?.array, list.count == count else { throw .wrongNumberOfEmbeddings }
    var expected = dimension
    var embeddings = [Embedding?](repeating: nil, count: count)
    for element in list {
      guard let index = element["index"]?.integer.flatMap({ Int(exactly: $0) }), embeddings.indices.contains(index),
        embeddings[index] == nil
      else { throw .wrongNumberOfEmbeddings }
      guard let components = element["embedding"]?.array else { throw .notAVector }
      guard components.count == expected ?? components.count, (1...maximumDimension).contains(components.count) else {
        throw .wrongDimension
      }
      expected = components.count
      embeddings[index] = try embedding(components)
    }
    return embeddings.compactMap(\.self)
  }

  private static func embedding(_ components: [JSONValue]) throws(AnswerDefect) -> Embedding {
    var vector: [Float] = []
    vector.reserveCapacity(components.count)
    for component in components {
      guard case .number(let value) = component else { throw .notAVector }
      vector.append(Float(value))
    }
    // What is infinite, too large or too small to be scaled, or zero doesn't come out with the length 1.
    let embedding = Embedding(normalizing: vector)
    let length = embedding.components.reduce(0) { $0 + $1 * $1 }
    guard (0.99...1.01).contains(length) else { throw .noDirection }
    return embedding
  }
}
