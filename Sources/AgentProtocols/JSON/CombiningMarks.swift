/// Bounds what it costs to compare and hash a string. Swift does both by canonical equivalence and so sorts each
/// run of combining marks, in time quadratic in its length: one run of a megabyte would hold a core for minutes.
public enum CombiningMarks {
  /// The Stream-Safe Text Format (Unicode UAX #15 section 13) stops at 30; decorated text of people may go beyond.
  public static let maximumRun = 128

  /// Whether no run of combining marks in `text` is longer than `maximumRun`. O(n).
  public static func areBounded(in text: String) -> Bool {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return true }
    var run = 0
    for scalar in text.unicodeScalars {
      switch scalar.value {
      // Below the first mark, and ideographs and Hangul syllables: known to have none, without a look-up.
      case 0..<0x300, 0x3100..<0xA660, 0xAC00..<0xD800: run = 0
      default:
        guard scalar.properties.canonicalCombiningClass != .notReordered else {
          run = 0
          continue
        }
        run += 1
        guard run <= maximumRun else { return false }
      }
    }
    return true
  }
}
