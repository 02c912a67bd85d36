/// How often a request asks for something to be done, as far as its words tell: "pay the bill" once, "pay each of
/// these bills" as often as it takes. Whatever may mean several counts as several: what is wrongly taken for several
/// is judged as it would have been anyway.
struct AskedActs: Sendable, Hashable {
  /// How often the request names an act with the effect; nil where it may mean several of it.
  private let limits: [ToolEffect: Int?]

  private static let counted: Set<ToolEffect> = [.pays, .sends, .deletes, .grants]

  init(_ task: String, delegates: Bool) {
    let words = Words.split(task).map { $0.hasSuffix("'s") ? String($0.dropLast(2)) : $0 }
    guard !delegates, !words.contains(where: Self.quantifiers.contains) else {
      limits = [:]
      return
    }
    var limits: [ToolEffect: Int?] = [:]
    let sentences = Passages.split(task).map { (text: $0, words: Words.split($0)) }
    for effect in Self.counted {
      guard let verbs = Verbs.byEffect[effect]?.intersection(Verbs.acting) else { continue }
      let asking = sentences.filter { $0.words.contains { Words.bases(of: $0).contains(where: verbs.contains) } }
      guard !asking.isEmpty else { continue }
      let count = asking.reduce(0) {
        $0 + $1.words.count { Words.bases(of: $0).contains(where: verbs.contains) }
      }
      limits[effect] = asking.contains { Self.listsSeveral($0.text) } ? .some(nil) : count
    }
    self.limits = limits
  }

  /// After how many calls of a tool with these effects the request has been served; nil where its words don't tell.
  func limit(of effects: Set<ToolEffect>) -> Int? {
    // Records are written as often as a task needs.
    guard !effects.contains(.writes) else { return nil }
    // The tool may be asked for by any of its effects.
    let named = effects.compactMap { limits[$0] }
    return named.contains(nil) ? nil : named.compactMap(\.self).max()
  }

  // MARK: Several

  private static func listsSeveral(_ sentence: String) -> Bool {
    let tokens = sentence.split(whereSeparator: \.isWhitespace)
    // Further on in a sentence a capital letter makes it a name.
    let words = tokens.prefix(1).map { Substring($0.lowercased()) } + tokens.dropFirst()
    return words.contains(where: isPlural) || Identifiers.find(in: sentence).count > 1 || hasList(sentence)
  }

  private static func isPlural(_ token: Substring) -> Bool {
    let bare = token.drop { "\"'([".contains($0) }
    let word = bare.prefix { $0.isLetter }
    let rest = bare.dropFirst(word.count)
    return word.count >= 4 && word.allSatisfy { $0.isASCII && $0.isLowercase } && word.hasSuffix("s")
      && !["ss", "us", "is"].contains(where: word.hasSuffix) && !rest.contains { $0.isLetter || $0.isNumber }
      && !noPlurals.contains(String(word))
  }

  /// Whether a part after a comma or "and" has no verb of its own: "to Alice and to Bob".
  private static func hasList(_ sentence: String) -> Bool {
    let marked = joining.reduce(sentence) { $0.replacing($1, with: ",") }
    return marked.split(separator: ",").dropFirst().contains { part in
      let words = Words.split(part).drop { Verbs.leading.contains($0) && !prepositions.contains($0) }
      guard let first = words.first, !subordinating.contains(first) else { return false }
      return !words.prefix(2).contains { word in
        Words.bases(of: word).contains { Verbs.ordering.contains($0) || Verbs.reading.contains($0) }
      }
    }
  }

  private static let joining = [" and ", " & ", " plus ", " as well as "]
  private static let quantifiers = Verbs.words(
    """
    each every all both several multiple many any everyone everybody everything anyone anybody these those remaining \
    others again repeatedly regularly daily weekly monthly recurring whenever twice thrice respectively couple few \
    dozen pair two three four five six seven eight nine ten eleven twelve team group family staff department \
    committee crew class board people
    """)
  /// Words with a plural's ending that are none, or that measure.
  private static let noPlurals = Verbs.words(
    """
    this does always perhaps sometimes besides thanks news goods yours ours hers theirs hours minutes seconds days \
    weeks months years euros dollars pounds cents francs
    """)
  private static let prepositions = Verbs.words("to for from with at by")
  private static let subordinating = Verbs.words(
    """
    which who whose that if so because when but as since where while before after then thanks thank though although \
    unless until including i it they he she we you there this
    """)
}
