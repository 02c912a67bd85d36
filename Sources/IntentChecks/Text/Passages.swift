/// A text taken apart into what says one thing each: the sentences of prose, the rows of a table, the fields of a
/// record.
enum Passages {
  /// Longer passages are cut: the encoder reads no further, and an instruction in a sea of words should not drown.
  static let maximumLength = 320

  static func split(_ text: String) -> [String] {
    var passages: [String] = []
    for line in lines(of: unescaped(text)) {
      for sentence in sentences(of: line) {
        var rest = Substring(trimmed(sentence, of: " -*•\t"))
        while let limit = rest.unicodeScalars.index(
          rest.startIndex, offsetBy: maximumLength, limitedBy: rest.endIndex), limit < rest.endIndex
        {
          let window = rest.unicodeScalars[..<limit]
          let half = rest.unicodeScalars.index(rest.startIndex, offsetBy: maximumLength / 2)
          let end = window.lastIndex(of: " ").flatMap { $0 > half ? $0 : nil } ?? window.endIndex
          passages.append(String(rest[..<end]))
          rest = trimmed(rest[end...], of: " ")
        }
        if !rest.isEmpty { passages.append(String(rest)) }
      }
    }
    return passages
  }

  /// The first sentence, as of a tool's description.
  static func first(of text: String) -> String {
    let scalars = Array(trimmed(Substring(text), of: " \n\t\r").unicodeScalars)
    for (index, scalar) in scalars.enumerated() {
      if scalar == "\n" { return string(scalars[..<index]) }
      if ".!?".unicodeScalars.contains(scalar), index + 1 < scalars.count, isSpace(scalars[index + 1]) {
        return string(scalars[...index])
      }
    }
    return string(scalars[...])
  }

  // MARK: Lines

  /// Undoes what serialisers do to running text: escaped line ends and quotes, YAML's continued lines.
  private static func unescaped(_ text: String) -> [Unicode.Scalar] {
    let scalars = Array(text.unicodeScalars)
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(scalars.count)
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      let next = index + 1 < scalars.count ? scalars[index + 1] : nil
      switch (scalar, next) {
      case ("\\", "\n"):
        index += 2
        while index < scalars.count, isSpace(scalars[index]) { index += 1 }
        if index < scalars.count, scalars[index] == "\\" { index += 1 }
        continue
      case ("\\", "n"):
        result.append("\n")
        index += 2
      case ("\\", "\""):
        result.append("\"")
        index += 2
      case ("'", "'"):
        result.append("'")
        index += 2
      default:
        result.append(scalar)
        index += 1
      }
    }
    return result
  }

  /// Lines that belong together joined, as in a wrapped paragraph.
  private static func lines(of scalars: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    var lines: [[Unicode.Scalar]] = []
    var current: [Unicode.Scalar] = []
    for part in scalars.split(separator: "\n", omittingEmptySubsequences: false) {
      let line = trimmedSpace(part)
      if line.allSatisfy({ "-=_*'\" ".unicodeScalars.contains($0) }) {
        if !current.isEmpty { lines.append(current) }
        current = []
      } else if let last = current.last, last != ":", last != ">", !beginsAnew(line) {
        current.append(" ")
        current += line
      } else {
        if !current.isEmpty { lines.append(current) }
        current = Array(line)
      }
    }
    if !current.isEmpty { lines.append(current) }
    return lines
  }

  /// Whether a line is an item of a list, a field of a record, a heading or a tag, and not the last line's go-on.
  private static func beginsAnew(_ line: ArraySlice<Unicode.Scalar>) -> Bool {
    guard let first = line.first else { return true }
    let rest = line.dropFirst()
    if "-*•".unicodeScalars.contains(first) { return rest.first.map(isSpace) ?? true }
    if first == "<" { return true }
    if isDigit(first) {
      let after = line.drop(while: isDigit)
      guard let mark = after.first, mark == "." || mark == ")" else { return false }
      return after.dropFirst().first.map(isSpace) ?? false
    }
    guard let colon = line.firstIndex(of: ":") else { return false }
    let key = line[..<colon]
    let isLast = colon == line.index(before: line.endIndex)
    if isLast, key.count <= 25, ("A"..."Z").contains(first), !key.contains(".") { return true }
    return (isLast || isSpace(line[colon + 1])) && key.count <= 31 && (isLetter(first) || first == "_")
      && key.allSatisfy { Words.isPart($0) || " .@-".unicodeScalars.contains($0) }
  }

  // MARK: Sentences

  private static let abbreviations: Set<String> = ["mr", "mrs", "ms", "dr", "e.g", "i.e", "no", "vs", "approx"]

  private static func sentences(of line: [Unicode.Scalar]) -> [Substring] {
    var sentences: [Substring] = []
    var start = 0
    var index = 0
    while index < line.count {
      defer { index += 1 }
      guard ".!?;".unicodeScalars.contains(line[index]) else { continue }
      // A sentence right after another, as where markup was taken out: "done.Next".
      if index > 0, line[index] != ";", ("a"..."z").contains(line[index - 1]), index + 2 < line.count,
        ("A"..."Z").contains(line[index + 1]), ("a"..."z").contains(line[index + 2])
      {
        sentences.append(Substring(string(line[start...index])))
        start = index + 1
        continue
      }
      var end = index + 1
      while end < line.count, "\"')]".unicodeScalars.contains(line[end]) { end += 1 }
      guard end < line.count, isSpace(line[end]) else { continue }
      var next = end
      while next < line.count, isSpace(line[next]) { next += 1 }
      var opening = next
      while opening < line.count, "\"'(".unicodeScalars.contains(line[opening]) { opening += 1 }
      guard opening < line.count, !("a"..."z").contains(line[opening]), !endsInAbbreviation(line[start..<index])
      else { continue }
      sentences.append(Substring(string(line[start...index])))
      start = next
      index = next - 1
    }
    if start < line.count { sentences.append(Substring(string(line[start...]))) }
    return sentences
  }

  private static func endsInAbbreviation(_ sentence: ArraySlice<Unicode.Scalar>) -> Bool {
    let word = sentence.suffix(7).split(whereSeparator: isSpace).last ?? []
    return abbreviations.contains(string(word).lowercased())
  }

  // MARK: Characters

  static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }
  static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  private static func trimmedSpace(_ line: ArraySlice<Unicode.Scalar>) -> ArraySlice<Unicode.Scalar> {
    var line = line.drop(while: isSpace)
    while let last = line.last, isSpace(last) { line.removeLast() }
    return line
  }

  private static func trimmed(_ text: Substring, of scalars: String) -> Substring {
    let view = text.unicodeScalars
    let unwanted = scalars.unicodeScalars
    guard let first = view.firstIndex(where: { !unwanted.contains($0) }),
      let last = view.lastIndex(where: { !unwanted.contains($0) })
    else { return "" }
    return Substring(view[first...last])
  }
}
