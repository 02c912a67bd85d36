/// Makes embeddings of texts by a BERT model of sentence-transformers, such as all-MiniLM-L6-v2.
///
/// It computes on the calling thread and holds no lock; the weights are read in place from the file, which must not
/// change meanwhile (with 8-bit weights, those of the tokens).
public struct SentenceEncoder: Sendable {
  /// The folder's name.
  public let name: String
  /// How many tokens of a text count, with the two that begin and end it; the rest of a longer one is left out.
  public let tokenLimit: Int

  private let tokenizer: BertTokenizer
  private let encoder: BertEncoder
  private let pooling: Pooling

  /// Loads the model in a folder as Hugging Face's libraries write it: `config.json`, `model.safetensors`, `vocab.txt`
  /// or `tokenizer.json`, and where they are there `tokenizer_config.json` and sentence-transformers' own files.
  public init(folder path: String, arithmetic: Arithmetic = .float32) throws(ModelError) {
    try self.init(folder: path, arithmetic: arithmetic, kernel: .fastest)
  }

  /// - Parameter kernel: by which 8-bit numbers are multiplied
  init(folder path: String, arithmetic: Arithmetic, kernel: IntegerKernel) throws(ModelError) {
    let folder = ModelFolder(path: path)
    let configuration = try BertConfiguration(folder)
    let modules = try SentenceModules(folder)
    let files = try TokenizerFiles(folder, configuration)
    name = folder.name
    pooling = modules.pooling
    tokenizer = files.tokenizer
    tokenLimit = max(2, min(modules.limit ?? files.limit ?? .max, configuration.positionCount))
    encoder = try BertEncoder(BertWeights(folder), configuration, arithmetic, kernel: kernel)
    // Numbers that are none would make every comparison false.
    guard embeddings(of: [tokenizer.encode("a", limit: tokenLimit)])[0].components.allSatisfy(\.isFinite) else {
      throw .malformed(file: folder.path("model.safetensors"), expected: "finite numbers", found: "others")
    }
  }

  /// How many components an embedding has.
  public var dimension: Int { encoder.configuration.hiddenSize }

  /// The texts' embeddings in the same order. An empty text has one as well. What others are encoded with it makes no
  /// difference but in the last digits.
  public func encode(_ texts: [String]) -> [Embedding] {
    embeddings(of: texts.map { tokenizer.encode($0, limit: tokenLimit) })
  }

  /// The embedding of one text.
  public func encode(_ text: String) -> Embedding { encode([text])[0] }

  /// The numbers by which the model knows the parts of a text.
  func tokens(of text: String) -> [Int32] { tokenizer.encode(text, limit: tokenLimit).tokens }

  private func embeddings(of sequences: [TokenSequence]) -> [Embedding] {
    let width = dimension
    return encoder.map(sequences) { rows, count in
      var vector = Array(UnsafeBufferPointer(start: rows, count: width))
      if pooling == .mean {
        for row in 1..<count {
          for column in 0..<width { vector[column] += rows[row * width + column] }
        }
        for column in 0..<width { vector[column] /= Float(count) }
      }
      return Embedding(normalizing: vector)
    }
  }
}
