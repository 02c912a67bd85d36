/// A matrix and a vector to be added: y = x · Wᵀ + b.
struct Linear: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let inputs: Int
  private let outputs: Int

  init(_ weights: BertWeights, _ name: String, from inputs: Int, to outputs: Int) throws(ModelError) {
    self.inputs = inputs
    self.outputs = outputs
    weight = try weights.tensor(name + ".weight", shape: [outputs, inputs])
    bias = try weights.tensor(name + ".bias", shape: [outputs])
  }

  /// - Parameter residual: added to each row as well
  func apply(
    _ input: UnsafePointer<Float>, rows: Int, adding residual: UnsafePointer<Float>? = nil,
    into output: UnsafeMutablePointer<Float>
  ) {
    guard let weight = weight.elements.baseAddress, let bias = bias.elements.baseAddress else { return }
    // The product is added to what is there, so that neither sum costs a pass of its own.
    for row in 0..<rows {
      let output = output + row * outputs
      if let residual {
        add(bias, residual + row * outputs, into: output)
      } else {
        output.update(from: bias, count: outputs)
      }
    }
    let product = MatrixProduct(rows: rows, columns: outputs, depth: inputs)
    product.addTransposed(input, stride: inputs, weight, stride: inputs, into: output, stride: outputs)
  }

  private func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>
  ) {
    var index = 0
    while index + Lanes.scalarCount <= outputs {
      output.store(a.lanes(at: index) + b.lanes(at: index), at: index)
      index += Lanes.scalarCount
    }
    while index < outputs {
      output[index] = a[index] + b[index]
      index += 1
    }
  }
}
