import Foundation

/// Weighs features to one number: the greater, the more does a call look like one that serves the task. Each feature
/// is measured by how far it lies from its mean, in standard deviations.
public struct LogisticModel: Sendable, Hashable, Codable {
  public struct Term: Sendable, Hashable, Codable {
    public var feature: String
    public var mean: Double
    public var scale: Double
    public var weight: Double
  }

  public var terms: [Term]
  public var bias: Double
  /// Calls below it are blocked.
  public var threshold: Double

  /// The log-odds that the call serves the task. A feature that is not given counts as its mean.
  public func score(_ features: [String: Double]) -> Double {
    terms.reduce(bias) { sum, term in
      sum + ((features[term.feature] ?? term.mean) - term.mean) / term.scale * term.weight
    }
  }
}
