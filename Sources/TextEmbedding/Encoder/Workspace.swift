import CQuantizedEncoder

/// Room for what is computed on the way, for a number of tokens at once.
struct Workspace: ~Copyable {
  /// The tokens' vectors, one row each, before and after each layer.
  let hidden: UnsafeMutablePointer<Float>
  /// Behind it, `key` and `value` follow without a gap.
  let query: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  let context: UnsafeMutablePointer<Float>
  let intermediate: UnsafeMutablePointer<Float>
  /// How much each token of one text heeds each other, and with 8-bit numbers what else attention needs room for.
  let scores: UnsafeMutablePointer<Float>
  /// The rows of one matrix as 8-bit numbers; no room when none are.
  let quantized: QuantizedRows
  private let start: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - tokens: at most as many at once
  ///   - longest: the most tokens of one text
  init(_ configuration: BertConfiguration, _ arithmetic: Arithmetic, tokens: Int, longest: Int) {
    let hidden = tokens * configuration.hiddenSize
    let inner = tokens * configuration.intermediateSize
    let headSize = configuration.hiddenSize / configuration.headCount
    let attention =
      arithmetic == .int8 ? casa_attention_scratch(longest, headSize) : longest * longest
    let quantizedTokens = arithmetic == .int8 ? tokens : 0
    let widest = max(configuration.hiddenSize, configuration.intermediateSize)
    let quantizedStride = QuantizedRows.stride(widest)
    let blocks = quantizedTokens * QuantizedRows.blocks(widest)
    // Each on a cache line of its own, but for the parts of one matrix.
    let line = 64
    var size = 0
    func place(_ count: Int, _ stride: Int) -> Int {
      defer { size += (count * stride + line - 1) / line * line }
      return size
    }
    let float = MemoryLayout<Float>.stride
    let places = [hidden, 3 * hidden, hidden, inner, attention].map { place($0, float) }
    let integers = place(quantizedTokens * quantizedStride, 1)
    let scales = place(blocks, float)
    let zeros = place(blocks, MemoryLayout<Int32>.stride)
    let start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: line)
    self.start = start
    self.hidden = (start + places[0]).bindMemory(to: Float.self, capacity: hidden)
    query = (start + places[1]).bindMemory(to: Float.self, capacity: 3 * hidden)
    key = query + hidden
    value = key + hidden
    context = (start + places[2]).bindMemory(to: Float.self, capacity: hidden)
    intermediate = (start + places[3]).bindMemory(to: Float.self, capacity: inner)
    scores = (start + places[4]).bindMemory(to: Float.self, capacity: attention)
    quantized = QuantizedRows(
      integers: (start + integers).bindMemory(to: UInt8.self, capacity: quantizedTokens * quantizedStride),
      scales: (start + scales).bindMemory(to: Float.self, capacity: blocks),
      zeros: (start + zeros).bindMemory(to: Int32.self, capacity: blocks))
  }

  deinit { start.deallocate() }
}
