/// One of a model's layers.
protocol EncoderLayer: Sendable {
  /// Replaces the rows of `workspace.hidden`.
  /// - Parameter texts: which rows belong to each text
  func apply(_ workspace: borrowing Workspace, texts: [Range<Int>], rows: Int)
}

/// A BERT model: tokens in, a vector for each of them out.
struct BertEncoder: Sendable {
  let configuration: BertConfiguration
  private let words: Tensor
  private let positions: Tensor
  private let tokenTypes: Tensor
  private let norm: LayerNorm
  private let layers: [any EncoderLayer]
  private let arithmetic: Arithmetic

  /// - Parameter kernel: by which 8-bit numbers are multiplied
  init(
    _ weights: BertWeights, _ configuration: BertConfiguration, _ arithmetic: Arithmetic = .float32,
    kernel: IntegerKernel = .fastest
  ) throws(ModelError) {
    if arithmetic == .float32 { try MatrixProduct.checkArithmetic() }
    self.configuration = configuration
    self.arithmetic = arithmetic
    let size = configuration.hiddenSize
    words = try weights.tensor(
      "embeddings.word_embeddings.weight", shape: [configuration.vocabularyCount, size])
    positions = try weights.tensor(
      "embeddings.position_embeddings.weight", shape: [configuration.positionCount, size])
    tokenTypes = try weights.tensor(
      "embeddings.token_type_embeddings.weight", shape: [configuration.tokenTypeCount, size])
    norm = try LayerNorm(
      weights, "embeddings.LayerNorm", size: size, epsilon: configuration.normalizationEpsilon)
    var layers: [any EncoderLayer] = []
    for index in 0..<configuration.layerCount {
      switch arithmetic {
      case .float32: layers.append(try BertLayer(weights, configuration, index: index))
      case .int8: layers.append(try QuantizedLayer(weights, configuration, index: index, kernel: kernel))
      }
    }
    self.layers = layers
  }

  /// How many tokens go through the layers at once, unless a single text has more: enough that matrix products are at
  /// their fastest, few enough that what is computed on the way stays in the caches.
  private static let tokensAtOnce = 512

  /// Encodes texts and makes something of each one's vectors.
  /// - Parameters:
  ///   - sequences: of at most `configuration.positionCount` tokens each, all within the vocabulary
  ///   - result: of the rows of one text
  func map<Result>(
    _ sequences: [TokenSequence], _ result: (_ rows: UnsafePointer<Float>, _ count: Int) -> Result
  ) -> [Result] {
    var results: [Result] = []
    results.reserveCapacity(sequences.count)
    let longest = sequences.reduce(0) { max($0, $1.tokens.count) }
    let total = sequences.reduce(0) { $0 + $1.tokens.count }
    let workspace = Workspace(
      configuration, arithmetic, tokens: max(longest, min(Self.tokensAtOnce, total)), longest: longest)
    var start = 0
    while start < sequences.count {
      var end = start
      var rows = 0
      var texts: [Range<Int>] = []
      while end < sequences.count,
        end == start || rows + sequences[end].tokens.count <= Self.tokensAtOnce
      {
        texts.append(rows..<rows + sequences[end].tokens.count)
        rows += sequences[end].tokens.count
        end += 1
      }
      for (text, sequence) in zip(texts, sequences[start..<end]) {
        embed(sequence, into: workspace.hidden + text.lowerBound * configuration.hiddenSize)
      }
      norm.apply(workspace.hidden, rows: rows)
      for layer in layers { layer.apply(workspace, texts: texts, rows: rows) }
      for text in texts {
        results.append(result(workspace.hidden + text.lowerBound * configuration.hiddenSize, text.count))
      }
      start = end
    }
    // What was read of it are plain pointers, which do not keep it.
    withExtendedLifetime(workspace) {}
    return results
  }

  /// The sums of the vectors of each token, its place, and the text it belongs to.
  private func embed(_ sequence: TokenSequence, into rows: UnsafeMutablePointer<Float>) {
    let size = configuration.hiddenSize
    let second = min(1, configuration.tokenTypeCount - 1)
    for (index, token) in sequence.tokens.enumerated() {
      let word = words.row(Int(token))
      let position = positions.row(index)
      let type = tokenTypes.row(index < sequence.firstCount ? 0 : second)
      let row = rows + index * size
      for column in 0..<size { row[column] = word[column] + type[column] + position[column] }
    }
  }
}
