import CASACore

extension [String: JSONValue] {
  /// A name that a reader which ignores the case of letters, as Go's does, would take for one of `names`, though it
  /// is another; nil when there is none.
  func lookAlike(of names: Set<String>) -> String? {
    // Up and down again, since that folds the long s and the Kelvin sign too.
    let folded = Set(names.map { $0.lowercased() })
    return keys.first { !names.contains($0) && folded.contains($0.uppercased().lowercased()) }
  }
}
