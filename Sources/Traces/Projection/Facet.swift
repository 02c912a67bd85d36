/// A property by which sessions are found. Each is stored once for each session that has it.
enum Facet: Hashable, Sendable {
  case word(String)
  case decision(String)
  case reason(String)
  case tool(String)
  case app(String)
  case refused

  /// Longer words are cut, in the prompt as in the question.
  private static let maximumWordBytes = 64
  /// Further different words of a prompt are not found.
  static let maximumWords = 100

  var text: String {
    switch self {
    case .word(let word): "word=" + word
    case .decision(let id): "decision=" + id
    case .reason(let reason): "reason=" + reason
    case .tool(let tool): "tool=" + tool
    case .app(let id): "app=" + id
    case .refused: "refused"
    }
  }

  /// The words of a text: what stands between anything but letters and digits, in lower case.
  static func words(of text: String) -> [String] {
    var words: [String] = []
    var seen: Set<String> = []
    var word = ""
    func end() {
      defer { word = "" }
      guard !word.isEmpty, words.count < maximumWords else { return }
      var cut = word.lowercased()
      while cut.utf8.count > maximumWordBytes { cut.removeLast() }
      if seen.insert(cut).inserted { words.append(cut) }
    }
    for scalar in text.unicodeScalars {
      if scalar.properties.isAlphabetic || scalar.properties.numericType != nil {
        // A word that never ends takes no more memory than its beginning.
        if word.utf8.count < 4 * maximumWordBytes { word.unicodeScalars.append(scalar) }
      } else {
        end()
        if words.count == maximumWords { return words }
      }
    }
    end()
    return words
  }
}
