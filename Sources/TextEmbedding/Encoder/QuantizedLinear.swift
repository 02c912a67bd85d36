import CQuantizedEncoder

/// A matrix of 8-bit integers with a scale for each output, and a vector to be added: y = x · Wᵀ + b.
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
      let panel = Int(CASA_PANEL_OUTPUTS)
      let group = Int(CASA_GROUP_INPUTS)
      let filledOutputs = (outputs + panel - 1) / panel * panel
      let filledInputs = (inputs + group - 1) / group * group
      let count = filledOutputs * filledInputs
      // Every part is a whole number of cache lines.
      let size = count + filledOutputs * 12
      start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
      start.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      weights = start.bindMemory(to: Int8.self, capacity: count)
      sums = (start + count).bindMemory(to: Int32.self, capacity: filledOutputs)
      scales = (start + count + filledOutputs * 4).bindMemory(to: Float.self, capacity: filledOutputs)
      bias = (start + count + filledOutputs * 8).bindMemory(to: Float.self, capacity: filledOutputs)
      matrix = casa_matrix(
        inputs: inputs, outputs: outputs, weights: weights, sums: sums, scales: scales, bias: bias)
    }

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

    /// Sets the weights of one output, of which the greatest becomes 127 or −127.
    private func set(_ row: UnsafeBufferPointer<Float>, at output: Int) -> Bool {
      var greatest: Float = 0
      var finite = true
      for value in row {
        greatest = max(greatest, value.magnitude)
        finite = finite && value.isFinite
      }
      guard finite else { return false }
      // Weights too small to be divided by are none.
      guard greatest > 1e-30 else { return true }
      scales[output] = greatest / 127
      let factor = 127 / greatest
      set(integers: row.lazy.map { Int8((min(max($0 * factor, -127), 127)).rounded(.toNearestOrEven)) }, at: output)
      return true
    }

    /// Sets the weights of one output to integers from −127 to 127.
    func set(integers: some Sequence<Int8>, at output: Int) {
      let panel = Int(CASA_PANEL_OUTPUTS)
      let group = Int(CASA_GROUP_INPUTS)
      let groups = (matrix.inputs + group - 1) / group
      let place = weights + (output / panel * groups * panel + output % panel) * group
      var sum: Int32 = 0
      for (input, value) in integers.enumerated() {
        place[input / group * panel * group + input % group] = value
        sum += Int32(value)
      }
      sums[output] = sum
    }
  }
}
