import CASACore

/// The last admissions that hold for the very same request: a cache of a fixed size whose every look-up reads four
/// places at most.
struct RememberedAdmissions {
  /// With keys of 8 KiB at most.
  static let capacity = sets * ways
  private static let sets = 512
  private static let ways = 4

  private var places: [RememberedAdmission?] = Array(repeating: nil, count: capacity)

  private static func places(for key: RequestKey) -> Range<Int> {
    let first = Int(truncatingIfNeeded: key.hash % UInt64(sets)) * ways
    return first..<first + ways
  }

  subscript(key: RequestKey) -> RememberedAdmission? {
    for place in Self.places(for: key) {
      if let admission = places[place], admission.key == key { return admission }
    }
    return nil
  }

  /// In place of one of the same request, or of none, or else of the one that ends soonest.
  mutating func insert(_ admission: RememberedAdmission) {
    var chosen: (place: Int, until: Timestamp)?
    for place in Self.places(for: admission.key) {
      // They are filled from the front and never emptied, so none of the same request is behind an empty one.
      guard let other = places[place], other.key != admission.key else {
        places[place] = admission
        return
      }
      if chosen.map({ other.until < $0.until }) ?? true { chosen = (place, other.until) }
    }
    if let chosen { places[chosen.place] = admission }
  }
}
