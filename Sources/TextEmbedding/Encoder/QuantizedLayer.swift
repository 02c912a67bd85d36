import CQuantizedEncoder

/// One layer of a BERT model whose matrices are 8-bit integers, as is what is multiplied by them. Attention, norms and
/// the activation are computed with floating point numbers.
struct QuantizedLayer: EncoderLayer {
  private let projections: QuantizedLinear
  private let attentionOutput: QuantizedLinear
  private let attentionNorm: LayerNorm
  private let intermediate: QuantizedLinear
  private let output: QuantizedLinear
  private let outputNorm: LayerNorm
  private let configuration: BertConfiguration
  private let kernel: IntegerKernel

  init(
    _ weights: BertWeights, _ configuration: BertConfiguration, index: Int, kernel: IntegerKernel
  ) throws(ModelError) {
    let (hidden, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let epsilon = configuration.normalizationEpsilon
    let name = "encoder.layer.\(index)."
    projections = try QuantizedLinear(
      weights, ["query", "key", "value"].map { name + "attention.self." + $0 }, from: hidden, to: hidden,
      kernel: kernel)
    attentionOutput = try QuantizedLinear(
      weights, [name + "attention.output.dense"], from: hidden, to: hidden, kernel: kernel)
    attentionNorm = try LayerNorm(weights, name + "attention.output.LayerNorm", size: hidden, epsilon: epsilon)
    intermediate = try QuantizedLinear(weights, [name + "intermediate.dense"], from: hidden, to: inner, kernel: kernel)
    output = try QuantizedLinear(weights, [name + "output.dense"], from: inner, to: hidden, kernel: kernel)
    outputNorm = try LayerNorm(weights, name + "output.LayerNorm", size: hidden, epsilon: epsilon)
    self.configuration = configuration
    self.kernel = kernel
  }

  func apply(_ workspace: borrowing Workspace, texts: [Range<Int>], rows: Int) {
    let (hidden, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let quantized = workspace.quantized
    projections.apply(
      quantized.set(workspace.hidden, count: rows, width: hidden, kernel), rows: rows, into: workspace.query)
    let headSize = hidden / configuration.headCount
    for text in texts {
      casa_attend(
        kernel.number, workspace.query + text.lowerBound * 3 * hidden, text.count, configuration.headCount, headSize,
        workspace.scores, workspace.context + text.lowerBound * hidden)
    }
    let attended = workspace.query
    attentionOutput.apply(
      quantized.set(workspace.context, count: rows, width: hidden, kernel), rows: rows, adding: workspace.hidden,
      into: attended)
    attentionNorm.apply(attended, rows: rows, kernel)
    intermediate.applyActivated(
      quantized.set(attended, count: rows, width: hidden, kernel), rows: rows, into: workspace.intermediate)
    output.apply(
      quantized.set(workspace.intermediate, count: rows, width: inner, kernel), rows: rows, adding: attended,
      into: workspace.hidden)
    outputNorm.apply(workspace.hidden, rows: rows, kernel)
  }
}
