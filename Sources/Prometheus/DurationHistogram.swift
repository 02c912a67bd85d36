/// How many durations were at most how long.
public struct DurationHistogram: Sendable {
  /// In seconds: from what memory answers to what a caller gives up on.
  private static let bounds: [Double] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
  ]

  /// By the first bound that is not exceeded; the last counts those beyond all.
  private var counts = Array(repeating: 0, count: bounds.count + 1)
  /// Of all together.
  public private(set) var seconds = 0.0

  public init() {}

  public var count: Int { counts.reduce(0, +) }

  public mutating func record(_ duration: Duration) {
    let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
    self.seconds += seconds
  }

  /// For each bound, as Prometheus writes it, how many did not exceed it.
  var cumulative: [(bound: String, count: Int)] {
    var sum = 0
    return zip(Self.bounds.map { "\($0)" } + ["+Inf"], counts).map { bound, count in
      sum += count
      return (bound, sum)
    }
  }
}
