/// A text as a point on the unit sphere: the smaller the angle between two, the more alike is what they mean.
public struct Embedding: Sendable, Hashable {
  /// The sum of their squares is 1.
  public let components: [Float]

  /// Takes a vector and scales it to length 1; one without a direction stays as it is.
  public init(normalizing vector: [Float]) {
    var sum: Float = 0
    for component in vector { sum += component * component }
    // As in PyTorch's `normalize`, a vector shorter than that is not blown up.
    let scale = 1 / max(sum.squareRoot(), 1e-12)
    components = vector.map { $0 * scale }
  }

  /// The cosine of the angle between the two, from −1 to 1.
  ///
  /// Embeddings of different models can't be compared: without equally many components, or when one isn't finite, the
  /// answer is −1, as unlike as can be.
  public func cosine(with other: Embedding) -> Float {
    guard components.count == other.components.count else { return -1 }
    let product = components.withUnsafeBufferPointer { a in
      other.components.withUnsafeBufferPointer { b in dotProduct(a, b) }
    }
    return product.isFinite ? min(max(product, -1), 1) : -1
  }
}
