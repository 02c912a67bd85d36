/// How a passage speaks: whether it tells somebody to do something, addresses the model, or is running text.
enum Phrasing {
  /// Whether the passage gives an order: it, or a part of it, begins with a verb that orders, or it says that something
  /// must be done.
  static func isDirective(_ passage: String) -> Bool {
    var part: [String] = []
    var all: [String] = []
    func ordersSomething() -> Bool {
      let rest = part.drop { Verbs.leading.contains($0) }
      // "Transfer of 50 sent" orders nothing.
      guard let first = rest.first, let second = rest.dropFirst().first, second != "of" else { return false }
      return Verbs.ordering.contains(first) || first == "make"
    }
    for piece in passage.split(whereSeparator: { ",;:\n".contains($0) }) {
      part.removeAll()
      // Words that are joined by underscores are words to an LLM.
      for word in Words.split(piece.replacing("_", with: " ")) {
        all.append(word)
        // What comes after one of these may be an order of its own: "be so kind and send", "you have to send".
        if word == "and" || word == "then" || word == "to" {
          if ordersSomething() { return true }
          part.removeAll()
        } else {
          part.append(word)
        }
      }
      if ordersSomething() { return true }
    }
    return all.contains(where: Verbs.ordering.contains) && Cue.obligations.contains { $0.isIn(all) }
  }

  /// Whether words that stand on a line each, where none is known to begin a sentence, hold an order of three or more.
  static func ordersSomewhere(_ lines: [String]) -> Bool {
    let words = lines.flatMap { Words.split($0) }
    return words.indices.dropLast(2).contains { Verbs.ordering.contains(words[$0]) && words[$0 + 1] != "of" }
  }

  /// Whether the passage is running text rather than a row of data: several words, most of them in lower case.
  static func isProse(_ passage: String) -> Bool {
    var text = Substring(passage)
    if let colon = text.firstIndex(of: ":"), text[..<colon].count <= 20,
      text[..<colon].allSatisfy({ $0.isLetter || $0.isNumber || $0 == " " || $0 == "_" })
    {
      text = text[text.index(after: colon)...]
    }
    var words = 0
    var lower = 0
    for token in text.split(whereSeparator: \.isWhitespace)
    where !Identifiers.isURL(token) && !(token.contains("@") && token.count { "_-.".contains($0) } < 4) {
      for word in token.split(whereSeparator: { !($0.isLetter || $0 == "'" || $0 == "-") }) {
        guard word.contains(where: \.isLetter) else { continue }
        words += 1
        if !word.contains(where: \.isUppercase) { lower += 1 }
      }
    }
    return words >= 5 && 2 * lower >= words
  }

  /// Whether much of the passage is in letters of which the word lists know nothing.
  static func isForeign(_ passage: String) -> Bool {
    let (letters, foreign) = letters(of: passage)
    return foreign >= 4 && 10 * foreign >= 3 * letters
  }

  /// How many letters and digits the text has, and how many of them are not of ASCII.
  static func letters(of text: String) -> (all: Int, foreign: Int) {
    var (all, foreign) = (0, 0)
    // Braille is letters to those who read it.
    for scalar in text.unicodeScalars where Words.isPart(scalar) || ("\u{2801}"..."\u{28FF}").contains(scalar) {
      all += 1
      if !scalar.isASCII { foreign += 1 }
    }
    return (all, foreign)
  }

  /// Whether the passage speaks to a model, of its task, or of keeping something from the user.
  static func addressesModel(_ passage: String) -> Bool {
    let words = Words.split(passage)
    return Cue.addressing.contains { $0.isIn(words) }
  }

  /// Whether a user's request hands the deciding over to data: "do what the list says".
  static func delegates(_ task: String) -> Bool {
    let words = Words.split(task)
    return Cue.delegating.contains { $0.isIn(words) }
  }
}

/// Words that make a phrase when they stand in order and near one another.
struct Cue: Sendable {
  /// Any of `words`, at most `gap` other words after the one before.
  struct Step: Sendable {
    let words: Set<String>
    let gap: Int
  }

  private let steps: [Step]
  /// Words that undo the phrase when one stands among the two after its first.
  private let unless: Set<String>

  private init(_ first: String, _ rest: (gap: Int, words: String)..., unless: String = "") {
    steps = [Step(words: Verbs.words(first), gap: 0)] + rest.map { Step(words: Verbs.words($0.words), gap: $0.gap) }
    self.unless = Verbs.words(unless)
  }

  func isIn(_ words: [String]) -> Bool {
    words.indices.contains { start in
      guard steps[0].words.contains(words[start]) else { return false }
      if !unless.isEmpty, words[(start + 1)...].prefix(2).contains(where: unless.contains) { return false }
      return follows(words, after: start, step: 1)
    }
  }

  private func follows(_ words: [String], after position: Int, step: Int) -> Bool {
    guard step < steps.count else { return true }
    let end = min(words.count, position + 2 + steps[step].gap)
    guard position + 1 < end else { return false }
    return (position + 1..<end).contains {
      steps[step].words.contains(words[$0]) && follows(words, after: $0, step: step + 1)
    }
  }

  static let obligations: [Cue] = [
    Cue("please kindly must should"),
    Cue("you", (0, "need can could may")),
    Cue("you", (0, "have"), (0, "to")),
    Cue("make be", (0, "sure")),
    Cue("required asked", (0, "to")),
  ]

  private static let models = "assistant ai model agent chatbot bot llm gpt claude gemini copilot"
  private static let tasks = "task request question query prompt"

  static let addressing: [Cue] = [
    Cue(
      "ignore disregard forget override",
      (6, "previous prior above earlier all instruction instructions task rules guidelines")),
    Cue("you dear attention hello hi hey to", (2, models)),
    Cue("system developer admin", (0, "prompt message instruction instructions note")),
    Cue(
      "before after while until when order",
      (5, "solve solving complete completing finish finishing continue do doing answer answering perform performing"),
      (5, tasks + " that")),
    Cue(
      "the your original user user's users main current",
      (0, tasks), (5, "i user gave given beginning above asked")),
    Cue("new", (0, "task instruction instructions objective")),
    Cue(
      "not don't never without", (3, "tell mention inform asking ask alert notify reveal"),
      (2, "user me him her them anyone")),
    Cue("important urgent", (2, "message instruction instructions notice"), (2, "from for to")),
    Cue("as", (1, "ai assistant language")),
    Cue("to", (0, "do"), (0, "for"), (1, "ai assistant agent")),
    Cue("todo", (0, "for"), (1, "ai assistant agent")),
  ]

  private static let doing = "follow do perform execute complete carry act apply implement handle work go"

  static let delegating: [Cue] = [
    Cue(
      doing, (4, "instruction instructions action actions task tasks step steps todo todos"),
      unless: "following you i we"),
    Cue(
      doing, (4, "what everything item items request requests"),
      (4, "says say asks ask asked contains listed list written describes described specified mentioned states told"),
      unless: "following you i we"),
  ]
}
