/// The words of a text, as the checks compare them: lower-case runs of letters, digits and underscores, with an
/// apostrophe inside ("don't") kept.
enum Words {
  static func split(_ text: some StringProtocol) -> [String] {
    var words: [String] = []
    var word = String.UnicodeScalarView()
    func end() {
      while word.last == "'" { word.removeLast() }
      if !word.isEmpty { words.append(String(word).lowercased()) }
      word.removeAll()
    }
    for scalar in text.unicodeScalars {
      if isPart(scalar) || (scalar == "'" && !word.isEmpty) { word.append(scalar) } else { end() }
    }
    end()
    return words
  }

  static func isPart(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_": true
    case "\u{0}"..."\u{7F}": false
    default: scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }
  }

  private static let endings = [
    "ations", "ation", "ings", "ing", "ments", "ment", "ies", "ers", "es", "ed", "er", "ly", "s", "e",
  ]

  /// The word without its ending: "transfers", "transferred" and "transfer" become alike often enough.
  static func stem(_ word: String) -> String {
    for ending in endings where word.hasSuffix(ending) && word.utf8.count - ending.utf8.count >= 3 {
      return String(word.dropLast(ending.count))
    }
    return word
  }

  /// The third person or plural of a word taken back: "sends" to "send", "fetches" to "fetch"; the word itself first.
  static func bases(of word: String) -> [String] {
    var bases = [word]
    if word.hasSuffix("s") { bases.append(String(word.dropLast())) }
    if word.hasSuffix("es") { bases.append(String(word.dropLast(2))) }
    return bases
  }

  private static let grammatical: Set<String> = [
    "a", "an", "the", "of", "to", "in", "on", "for", "and", "or", "is", "are", "be", "i", "me", "my", "you", "your",
    "it", "this", "that", "with", "by", "from", "at", "as", "we", "us", "our", "will", "can", "not", "no", "if", "so",
    "do",
  ]

  /// The stems of the words that carry meaning.
  static func contentStems(of text: some StringProtocol) -> Set<String> {
    Set(split(text).lazy.filter { !grammatical.contains($0) && $0.utf8.count > 1 }.map(stem))
  }

  /// An identifier as people would write it: `sendDirect_message` becomes "send direct message".
  static func humanized(_ name: String) -> String {
    var text = ""
    var previousIsLower = false
    for character in name {
      if "_.-/: ".contains(character) {
        if text.last != " ", !text.isEmpty { text.append(" ") }
        previousIsLower = false
        continue
      }
      if previousIsLower, character.isUppercase { text.append(" ") }
      text += character.lowercased()
      previousIsLower = character.isLowercase || character.isNumber
    }
    return text.last == " " ? String(text.dropLast()) : text
  }
}
