import Foundation

/// How well scores tell two groups apart, and how sure one can be of a share.
public enum RankStatistics {
  /// The area under the receiver operating characteristic: how likely a good one scores higher than a bad one, with
  /// ties counting half; nil when a group is empty.
  public static func areaUnderCurve(good: [Double], bad: [Double]) -> Double? {
    guard !good.isEmpty, !bad.isEmpty else { return nil }
    let all = (good.map { ($0, true) } + bad.map { ($0, false) }).sorted { $0.0 < $1.0 }
    var ranksOfGood = 0.0
    var index = 0
    while index < all.count {
      var end = index
      while end < all.count, all[end].0 == all[index].0 { end += 1 }
      // Equal ones share the mean of their ranks.
      let rank = Double(index + end + 1) / 2
      ranksOfGood += rank * Double(all[index..<end].count { $0.1 })
      index = end
    }
    let count = Double(good.count)
    return (ranksOfGood - count * (count + 1) / 2) / (count * Double(bad.count))
  }

  /// Wilson's 95 % interval of a share.
  public static func interval(_ hits: Int, of count: Int) -> ClosedRange<Double>? {
    guard count > 0 else { return nil }
    let (n, z) = (Double(count), 1.959_964)
    let share = Double(hits) / n
    let middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    let width = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
    return max(0, middle - width)...min(1, middle + width)
  }

  /// The value below which `share` of the values lie; nil when there are none.
  public static func quantile(_ share: Double, of values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    return sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
  }
}
