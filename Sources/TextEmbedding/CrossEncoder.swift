#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Says how well the second text of a pair answers the first, by a BERT model with one output, such as
/// ms-marco-MiniLM-L6-v2. Slower and more exact than comparing embeddings, since it reads both texts together.
public struct CrossEncoder: Sendable {
  /// The folder's name.
  public let name: String
  /// How many tokens of a pair count, with the three that begin, part and end it; of a longer pair, the longer text's
  /// end is left out first.
  public let tokenLimit: Int

  private let tokenizer: BertTokenizer
  private let encoder: BertEncoder
  private let pooler: Linear
  private let classifier: Linear

  /// Loads the model in a folder as Hugging Face's libraries write it.
  public init(folder path: String) throws(ModelError) {
    let folder = ModelFolder(path: path)
    let configuration = try BertConfiguration(folder)
    let files = try TokenizerFiles(folder, configuration)
    let weights = try BertWeights(folder)
    let size = configuration.hiddenSize
    name = folder.name
    tokenizer = files.tokenizer
    tokenLimit = max(3, min(files.limit ?? .max, configuration.positionCount))
    encoder = try BertEncoder(weights, configuration)
    pooler = try Linear(weights, "pooler.dense", from: size, to: size)
    classifier = try Linear(weights.head, "classifier", from: size, to: 1)
    guard score([("a", "a")])[0].isFinite else {
      throw .malformed(file: folder.path("model.safetensors"), expected: "finite numbers", found: "others")
    }
  }

  /// The pairs' scores in the same order: the model's output as it is (a logit), greater for a better match.
  public func score(_ pairs: [(String, String)]) -> [Float] {
    let size = encoder.configuration.hiddenSize
    return encoder.map(pairs.map { tokenizer.encode($0, $1, limit: tokenLimit) }) { rows, _ in
      var pooled = [Float](repeating: 0, count: size)
      pooler.apply(rows, rows: 1, into: &pooled)
      for index in 0..<size { pooled[index] = tanhf(pooled[index]) }
      var score: Float = 0
      classifier.apply(pooled, rows: 1, into: &score)
      return score
    }
  }

  /// The numbers by which the model knows the parts of a pair.
  func tokens(of first: String, _ second: String) -> TokenSequence {
    tokenizer.encode(first, second, limit: tokenLimit)
  }
}
