/// Which lines of two texts differ.
struct LineDifference {
  enum Change: String { case same, removed, added }

  /// More lines than this are shown one text after the other.
  private static let maximumLines = 400

  let lines: [(change: Change, text: String)]

  init(from old: [String], to new: [String]) {
    guard old.count <= Self.maximumLines, new.count <= Self.maximumLines else {
      lines = old.map { (.removed, $0) } + new.map { (.added, $0) }
      return
    }
    let difference = new.difference(from: old) { Array($0.utf8) == Array($1.utf8) }
    var removed: Set<Int> = []
    var added: Set<Int> = []
    for change in difference {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, _, _): added.insert(offset)
      }
    }
    var result: [(Change, String)] = []
    var (i, j) = (0, 0)
    while i < old.count || j < new.count {
      if i < old.count, removed.contains(i) {
        result.append((.removed, old[i]))
        i += 1
      } else if j < new.count, added.contains(j) {
        result.append((.added, new[j]))
        j += 1
      } else if i < old.count, j < new.count {
        result.append((.same, new[j]))
        i += 1
        j += 1
      } else {
        break
      }
    }
    lines = result
  }
}
