import Foundation

/// Fits a `LogisticModel` to labelled examples: logistic regression, both labels weighed alike, with each weight's sign
/// prescribed, since a feature that counts the wrong way round has learned the examples and not the matter.
struct LogisticFit {
  struct Example {
    /// One that is missing counts neither way.
    let features: [String: Double]
    /// Whether the call is one that should be allowed.
    let isGood: Bool
  }

  /// A feature and whether more of it speaks for the call (1) or against it (−1).
  let signs: [(feature: String, sign: Double)]
  /// The strength of the pull of all weights towards 0.
  var regularization = 1.0

  func fit(_ examples: [Example]) -> LogisticModel? {
    let good = Double(examples.count { $0.isGood })
    let bad = Double(examples.count) - good
    guard good > 0, bad > 0 else { return nil }
    let count = Double(examples.count)
    var terms = signs.map { LogisticModel.Term(feature: $0.feature, mean: 0, scale: 1, weight: 0) }
    for index in terms.indices {
      let values = examples.compactMap { $0.features[terms[index].feature] }
      let mean = values.reduce(0, +) / Double(max(values.count, 1))
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(values.count, 1))
      terms[index].mean = mean
      terms[index].scale = max(variance.squareRoot(), 1e-9)
    }
    let rows = examples.map { example in
      terms.map { term in example.features[term.feature].map { ($0 - term.mean) / term.scale } ?? 0 }
    }
    let labels = examples.map { $0.isGood ? 1.0 : -1.0 }
    let weights = examples.map { 0.5 / ($0.isGood ? good : bad) * count }
    var parameters = [Double](repeating: 0, count: terms.count + 1)
    // Steps down the gradient, each weight kept on its side of 0. The loss is convex, so that where it ends does not
    // depend on the way; the step is the inverse of a bound on the curvature.
    let curvature =
      0.25 * zip(rows, weights).reduce(0) { $0 + $1.1 * ($1.0.reduce(1) { $0 + $1 * $1 }) } + 1 / regularization
    for _ in 0..<20_000 {
      var gradient = parameters.map { $0 / regularization }
      gradient[terms.count] = 0
      for (row, (label, weight)) in zip(rows, zip(labels, weights)) {
        var score = parameters[terms.count]
        for index in row.indices { score += row[index] * parameters[index] }
        let pull = -label * weight / (1 + exp(label * score))
        for index in row.indices { gradient[index] += row[index] * pull }
        gradient[terms.count] += pull
      }
      var change = 0.0
      for index in parameters.indices {
        var value = parameters[index] - gradient[index] / curvature
        if index < terms.count { value = signs[index].sign > 0 ? max(0, value) : min(0, value) }
        change = max(change, abs(value - parameters[index]))
        parameters[index] = value
      }
      if change < 1e-7 { break }
    }
    for index in terms.indices { terms[index].weight = parameters[index] }
    return LogisticModel(terms: terms, bias: parameters[terms.count], threshold: 0)
  }
}
