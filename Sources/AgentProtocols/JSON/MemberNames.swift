import CASACore

extension [String: JSONValue] {
  /// A name that a reader which ignores the case of letters, as Go's does, would take for one of `names`, though it
  /// is another; nil when there is none.
  func lookAlike(of names: Set<String>) -> String? {
    let folded = Set(names.map(\.withoutCase))
    return keys.first { !names.contains($0) && folded.contains($0.withoutCase) }
  }
}

extension String {
  /// As a reader compares it that ignores the case of letters.
  var withoutCase: String {
    // Up and down again, since that folds the long s and the Kelvin sign too.
    uppercased().lowercased()
  }
}
