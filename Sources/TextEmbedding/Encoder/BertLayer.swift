/// One layer of a BERT model: each token looks at all tokens of its text, then goes through two matrices by itself.
struct BertLayer: EncoderLayer {
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let attentionOutput: Linear
  private let attentionNorm: LayerNorm
  private let intermediate: Linear
  private let output: Linear
  private let outputNorm: LayerNorm
  private let configuration: BertConfiguration

  init(_ weights: BertWeights, _ configuration: BertConfiguration, index: Int) throws(ModelError) {
    let (hidden, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let epsilon = configuration.normalizationEpsilon
    let name = "encoder.layer.\(index)."
    query = try Linear(weights, name + "attention.self.query", from: hidden, to: hidden)
    key = try Linear(weights, name + "attention.self.key", from: hidden, to: hidden)
    value = try Linear(weights, name + "attention.self.value", from: hidden, to: hidden)
    attentionOutput = try Linear(weights, name + "attention.output.dense", from: hidden, to: hidden)
    attentionNorm = try LayerNorm(weights, name + "attention.output.LayerNorm", size: hidden, epsilon: epsilon)
    intermediate = try Linear(weights, name + "intermediate.dense", from: hidden, to: inner)
    output = try Linear(weights, name + "output.dense", from: inner, to: hidden)
    outputNorm = try LayerNorm(weights, name + "output.LayerNorm", size: hidden, epsilon: epsilon)
    self.configuration = configuration
  }

  /// Replaces the rows of `workspace.hidden`.
  /// - Parameter texts: which rows belong to each text
  func apply(_ workspace: borrowing Workspace, texts: [Range<Int>], rows: Int) {
    query.apply(workspace.hidden, rows: rows, into: workspace.query)
    key.apply(workspace.hidden, rows: rows, into: workspace.key)
    value.apply(workspace.hidden, rows: rows, into: workspace.value)
    for text in texts { attend(workspace, text) }
    let attended = workspace.query
    attentionOutput.apply(workspace.context, rows: rows, adding: workspace.hidden, into: attended)
    attentionNorm.apply(attended, rows: rows)
    intermediate.apply(attended, rows: rows, into: workspace.intermediate)
    GELU.apply(workspace.intermediate, count: rows * configuration.intermediateSize)
    output.apply(workspace.intermediate, rows: rows, adding: attended, into: workspace.hidden)
    outputNorm.apply(workspace.hidden, rows: rows)
  }

  /// Texts stand one after another without padding, so that attention needs no mask.
  private func attend(_ workspace: borrowing Workspace, _ text: Range<Int>) {
    let width = configuration.hiddenSize
    let size = width / configuration.headCount
    let scale = 1 / Float(size).squareRoot()
    let heeding = MatrixProduct(rows: text.count, columns: text.count, depth: size)
    let weighting = MatrixProduct(rows: text.count, columns: size, depth: text.count)
    for head in 0..<configuration.headCount {
      let offset = text.lowerBound * width + head * size
      heeding.setTransposed(
        scale: scale, workspace.query + offset, stride: width, workspace.key + offset, stride: width,
        into: workspace.scores, stride: text.count)
      for row in 0..<text.count { Softmax.apply(workspace.scores + row * text.count, count: text.count) }
      weighting.set(
        workspace.scores, stride: text.count, workspace.value + offset, stride: width,
        into: workspace.context + offset, stride: width)
    }
  }
}
