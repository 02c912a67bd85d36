import CQuantizedEncoder

/// A matrix of 8-bit integers with a scale for each block of an output, and a vector to be added: y = x · Wᵀ + b.
struct QuantizedLinear: Sendable {
  private let storage: Storage
  private let kernel: IntegerKernel

  /// - Parameter names: of tensors whose outputs follow one another
  init(
    _ weights: BertWeights, _ names: [String], from inputs: Int, to outputs: Int, kernel: IntegerKernel
  ) throws(ModelError) {
    self.kernel = kernel
    storage = Storage(inputs: inputs, outputs: outputs * names.count)
    for (index, name) in names.enumerated() {
      let weight = try weights.tensor(name + ".weight", shape: [outputs, inputs])
      let bias = try weights.tensor(name + ".bias", shape: [outputs])
      guard storage.set(weight, bias, at: index * outputs) else {
        throw weights.malformed("finite numbers as `\(name)`", "others")
      }
      weight.release()
    }
  }

  /// - Parameter residual: added to each row as well
  func apply(
    _ input: casa_rows, rows: Int, adding residual: UnsafePointer<Float>? = nil,
    into output: UnsafeMutablePointer<Float>
  ) {
    withUnsafePointer(to: input) { input in
      storage.withMatrix { casa_linear(kernel.number, input, rows, $0, residual, output) }
    }
  }

  /// Applies the activation to what comes out.
  func applyActivated(_ input: casa_rows, rows: Int, into output: UnsafeMutablePointer<Float>) {
    withUnsafePointer(to: input) { input in
      storage.withMatrix { casa_activated_linear(kernel.number, input, rows, $0, output) }
    }
  }

  /// Memory in the layout of the kernels.
  final class Storage: @unchecked Sendable {
    // Written only before anybody else sees it, and freed with this object.
    private let matrix: casa_matrix
    private let weights: UnsafeMutablePointer<Int8>
    private let sums: UnsafeMutablePointer<Int32>
    private let scales: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>
    private let start: UnsafeMutableRawPointer

    init(inputs: Int, outputs: Int) {
      let filledOutputs = Self.filled(outputs, Self.panel)
      let count = filledOutputs * Self.filled(inputs, Self.group)
      let blockCount = filledOutputs * QuantizedRows.blocks(inputs)
      // Every part is a whole number of cache lines.
      let size = count + blockCount * 8 + filledOutputs * 4
      start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
      start.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      weights = start.bindMemory(to: Int8.self, capacity: count)
      sums = (start + count).bindMemory(to: Int32.self, capacity: blockCount)
      scales = (start + count + blockCount * 4).bindMemory(to: Float.self, capacity: blockCount)
      bias = (start + count + blockCount * 8).bindMemory(to: Float.self, capacity: filledOutputs)
      matrix = casa_matrix(
        inputs: inputs, outputs: outputs, weights: weights, sums: sums, scales: scales, bias: bias)
    }

    private static let panel = Int(CASA_PANEL_OUTPUTS)
    private static let group = Int(CASA_GROUP_INPUTS)
    private static let block = Int(CASA_BLOCK_INPUTS)

    private static func filled(_ count: Int, _ unit: Int) -> Int { (count + unit - 1) / unit * unit }

    deinit { start.deallocate() }

    func withMatrix<Result>(_ body: (UnsafePointer<casa_matrix>) -> Result) -> Result {
      // What the pointers point to lives as long as this object.
      withExtendedLifetime(self) { withUnsafePointer(to: matrix, body) }
    }

    /// - Returns: false when a number is none
    func set(_ weight: Tensor, _ bias: Tensor, at first: Int) -> Bool {
      for (index, value) in bias.elements.enumerated() {
        guard value.isFinite, set(weight.row(index), at: first + index) else { return false }
        self.bias[first + index] = value
      }
      return true
    }

    /// Sets the weights of one output, of which the greatest of each block becomes 127 or −127.
    private func set(_ row: UnsafeBufferPointer<Float>, at output: Int) -> Bool {
      for start in stride(from: 0, to: row.count, by: Self.block) {
        let block = UnsafeBufferPointer(rebasing: row[start..<min(start + Self.block, row.count)])
        var greatest: Float = 0
        var finite = true
        for value in block {
          greatest = max(greatest, value.magnitude)
          finite = finite && value.isFinite
        }
        guard finite else { return false }
        // Weights too small to be divided by are none.
        guard greatest > 1e-30 else { continue }
        scales[place(output, start / Self.block)] = greatest / 127
        let factor = 127 / greatest
        for (index, value) in block.enumerated() {
          set(integer: Int8(min(max((value * factor).rounded(.toNearestOrEven), -127), 127)), at: output, start + index)
        }
      }
      return true
    }

    /// Sets one weight to an integer from −127 to 127; it is zero before.
    func set(integer: Int8, at output: Int, _ input: Int) {
      let groups = Self.filled(matrix.inputs, Self.group) / Self.group
      let panelGroup = output / Self.panel * groups + input / Self.group
      weights[(panelGroup * Self.panel + output % Self.panel) * Self.group + input % Self.group] = integer
      sums[place(output, input / Self.block)] += Int32(integer)
    }

    /// Of what each output has for each block.
    private func place(_ output: Int, _ block: Int) -> Int {
      (output / Self.panel * QuantizedRows.blocks(matrix.inputs) + block) * Self.panel + output % Self.panel
    }
  }
}
