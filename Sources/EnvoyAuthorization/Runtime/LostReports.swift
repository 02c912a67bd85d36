/// How many reports were lost since the runtime was last reached, and of how many the log tells.
///
/// While the runtime is away the same loss is looked at ten times a second; only one that has grown is told, and under
/// load, where it grows all the time, not before it has doubled.
struct LostReports: Sendable {
  private var count = 0
  private var told = 0

  mutating func add(_ more: Int) { count += more }

  /// How many were lost, when the log should tell of it now.
  mutating func news() -> Int? {
    guard count > told, count >= told * 2 else { return nil }
    told = count
    return count
  }

  /// The runtime was reached: what is lost from now on is told anew.
  mutating func reset() { self = LostReports() }
}
