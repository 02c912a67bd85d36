/// Room for what is computed on the way, for a number of tokens at once.
struct Workspace: ~Copyable {
  /// The tokens' vectors, one row each, before and after each layer.
  let hidden: UnsafeMutablePointer<Float>
  let query: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  let context: UnsafeMutablePointer<Float>
  let intermediate: UnsafeMutablePointer<Float>
  /// How much each token of one text heeds each other.
  let scores: UnsafeMutablePointer<Float>
  private let start: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - tokens: at most as many at once
  ///   - longest: the most tokens of one text
  init(_ configuration: BertConfiguration, tokens: Int, longest: Int) {
    let sizes =
      Array(repeating: tokens * configuration.hiddenSize, count: 5)
      + [tokens * configuration.intermediateSize, longest * longest]
    // Each on a cache line of its own.
    let line = 64
    let aligned = sizes.map { ($0 * MemoryLayout<Float>.stride + line - 1) / line * line }
    let start = UnsafeMutableRawPointer.allocate(byteCount: aligned.reduce(0, +), alignment: line)
    self.start = start
    var offset = 0
    func part(_ index: Int) -> UnsafeMutablePointer<Float> {
      defer { offset += aligned[index] }
      return (start + offset).bindMemory(to: Float.self, capacity: sizes[index])
    }
    hidden = part(0)
    query = part(1)
    key = part(2)
    value = part(3)
    context = part(4)
    intermediate = part(5)
    scores = part(6)
  }

  deinit { start.deallocate() }
}
