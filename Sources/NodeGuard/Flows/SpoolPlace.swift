/// A place in the spool.
struct SpoolPlace: Sendable, Hashable, Comparable {
  /// The number of the segment; 0 stands before all.
  var segment: UInt64
  /// In bytes, where a line begins or the segment ends.
  var offset: Int

  /// No file with a higher number is one of the spool's, so that there is always a next number.
  static let lastSegment = UInt64.max >> 1

  static func < (a: Self, b: Self) -> Bool { (a.segment, a.offset) < (b.segment, b.offset) }
}
