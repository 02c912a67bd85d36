import CQuantizedEncoder

/// Shifts and scales a vector to mean 0 and variance 1, and then by learnt factors.
struct LayerNorm: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let epsilon: Float
  private let size: Int

  init(_ weights: BertWeights, _ name: String, size: Int, epsilon: Float) throws(ModelError) {
    self.size = size
    self.epsilon = epsilon
    weight = try weights.tensor(name + ".weight", shape: [size])
    bias = try weights.tensor(name + ".bias", shape: [size])
  }

  func apply(_ values: UnsafeMutablePointer<Float>, rows: Int) {
    guard let weight = weight.elements.baseAddress, let bias = bias.elements.baseAddress else { return }
    for row in 0..<rows { apply(values + row * size, weight, bias) }
  }

  /// The same by a kernel of 8-bit models, whose results are equal on every processor.
  func apply(_ values: UnsafeMutablePointer<Float>, rows: Int, _ kernel: IntegerKernel) {
    guard let weight = weight.elements.baseAddress, let bias = bias.elements.baseAddress else { return }
    casa_normalize(kernel.number, values, rows, size, weight, bias, epsilon)
  }

  private func apply(
    _ row: UnsafeMutablePointer<Float>, _ weight: UnsafePointer<Float>, _ bias: UnsafePointer<Float>
  ) {
    let whole = size - size % Lanes.scalarCount
    var sums = Lanes.zero
    var index = 0
    while index < whole {
      sums += row.lanes(at: index)
      index += Lanes.scalarCount
    }
    var sum = sums.sum()
    while index < size {
      sum += row[index]
      index += 1
    }
    let mean = sum / Float(size)

    sums = .zero
    index = 0
    while index < whole {
      let difference = row.lanes(at: index) - mean
      sums += difference * difference
      index += Lanes.scalarCount
    }
    var squares = sums.sum()
    while index < size {
      squares += (row[index] - mean) * (row[index] - mean)
      index += 1
    }
    let scale = 1 / (squares / Float(size) + epsilon).squareRoot()

    index = 0
    while index < whole {
      let normalized = (row.lanes(at: index) - mean) * scale
      row.store(normalized * weight.lanes(at: index) + bias.lanes(at: index), at: index)
      index += Lanes.scalarCount
    }
    while index < size {
      row[index] = (row[index] - mean) * scale * weight[index] + bias[index]
      index += 1
    }
  }
}
