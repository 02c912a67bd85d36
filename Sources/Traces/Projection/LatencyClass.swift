import Foundation

/// Latencies within a factor of 2^(1/4) of each other, so that percentiles are known to a tenth.
enum LatencyClass {
  static func containing(microseconds: Double) -> Int64 { Int64((log2(max(microseconds, 1)) * 4).rounded(.down)) }

  /// The middle of a class, in milliseconds.
  static func milliseconds(_ latencyClass: Int64) -> Double { exp2((Double(latencyClass) + 0.5) / 4) / 1000 }

  /// The latency below which `share` (0 to 1) of all lie, in milliseconds; nil when there are none.
  static func percentile(_ share: Double, of counts: [Int64: Int64]) -> Double? {
    let total = counts.values.reduce(0, +)
    guard total > 0 else { return nil }
    var rest = Int64((Double(total) * share).rounded(.up))
    for (latencyClass, count) in counts.sorted(by: { $0.key < $1.key }) {
      rest -= count
      if rest <= 0 { return milliseconds(latencyClass) }
    }
    return counts.keys.max().map(milliseconds)
  }
}
