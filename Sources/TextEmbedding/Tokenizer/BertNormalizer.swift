import Foundation

/// Which of BERT's changes to a text a model was trained with.
struct BertNormalization: Sendable, Hashable {
  var lowercases = true
  /// Takes the accents off letters.
  var stripsAccents = true
  /// Takes each Chinese character for a word.
  var separatesChineseCharacters = true
}

/// Divides a text into words as BERT's reference implementation does: cleaned of control characters, with Chinese
/// characters and punctuation as words of their own, without accents and in lower case.
///
/// Words come one after another, so that of a long text no more is read than a model takes in.
struct BertWords: IteratorProtocol {
  private let normalization: BertNormalization
  private var rest: Substring.UnicodeScalarView
  /// Words found in the last stretch and not yet given out, last one first.
  private var found: [[UInt8]] = []

  init(_ text: String, _ normalization: BertNormalization) {
    self.normalization = normalization
    rest = text[...].unicodeScalars
  }

  /// The next word in UTF-8; never an empty one.
  mutating func next() -> [UInt8]? {
    while true {
      if let word = found.popLast() { return word }
      guard let scalar = rest.first else { return nil }
      if scalar.isASCIIPunctuation || isSeparated(scalar) {
        rest.removeFirst()
        addWords(of: [scalar], isASCII: scalar.isASCII)
      } else if scalar.isWhitespaceOfBert {
        rest.removeFirst()
      } else {
        readStretch()
      }
    }
  }

  /// Reads up to where the text can be divided whatever follows: at white space, ASCII punctuation or a Chinese
  /// character, none of which takes part in a normalization with its neighbours.
  private mutating func readStretch() {
    var stretch: [Unicode.Scalar] = []
    var isASCII = true
    while let scalar = rest.first {
      // A control character is dropped before anything else is looked at, some white space among them.
      if scalar.isDroppedByBert {
        rest.removeFirst()
        continue
      }
      if scalar.isWhitespaceOfBert || scalar.isASCIIPunctuation || isSeparated(scalar) { break }
      isASCII = isASCII && scalar.isASCII
      stretch.append(scalar)
      rest.removeFirst()
    }
    addWords(of: stretch, isASCII: isASCII)
  }

  private func isSeparated(_ scalar: Unicode.Scalar) -> Bool {
    normalization.separatesChineseCharacters && scalar.isChinese
  }

  private mutating func addWords(of stretch: [Unicode.Scalar], isASCII: Bool) {
    if isASCII {
      let word = stretch.map { UInt8(truncatingIfNeeded: $0.value) }
      guard !word.isEmpty else { return }
      found.append(normalization.lowercases ? word.map { (65...90).contains($0) ? $0 | 0x20 : $0 } : word)
      return
    }
    var words: [[UInt8]] = []
    var word: [UInt8] = []
    func endWord() {
      if !word.isEmpty { words.append(word) }
      word = []
    }
    for scalar in normalized(stretch) {
      if scalar.isWhitespaceOfBert {
        endWord()
      } else if scalar.isBertPunctuation {
        endWord()
        words.append(Array(UTF8.encode(scalar) ?? UTF8.EncodedScalar()))
      } else {
        word += UTF8.encode(scalar) ?? UTF8.EncodedScalar()
      }
    }
    endWord()
    found = words.reversed()
  }

  private func normalized(_ stretch: [Unicode.Scalar]) -> String.UnicodeScalarView {
    var text = String.UnicodeScalarView(stretch)
    if normalization.stripsAccents {
      let decomposed = String(text).decomposedStringWithCanonicalMapping.unicodeScalars
      text = String.UnicodeScalarView(decomposed.filter { $0.bertCategory != .nonspacingMark })
    }
    guard normalization.lowercases else { return text }
    var lowercased = String.UnicodeScalarView()
    // Each letter by itself: the reference implementation knows no final sigma.
    for scalar in text { lowercased += scalar.properties.lowercaseMapping.unicodeScalars }
    return lowercased
  }
}

extension Unicode.Scalar {
  /// The category in Unicode 8, which Hugging Face's tokenizers go by: what came later is a letter like any other.
  fileprivate var bertCategory: Unicode.GeneralCategory {
    guard let age = properties.age, age.major <= 8 else {
      return properties.generalCategory == .privateUse ? .privateUse : .unassigned
    }
    return properties.generalCategory
  }

  fileprivate var isASCIIPunctuation: Bool {
    switch value {
    case 33...47, 58...64, 91...96, 123...126: true
    default: false
    }
  }

  fileprivate var isBertPunctuation: Bool {
    if isASCII { return isASCIIPunctuation }
    switch bertCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }

  fileprivate var isWhitespaceOfBert: Bool {
    isASCII ? value == 32 || value == 9 || value == 10 || value == 13 : properties.isWhitespace && !isDroppedByBert
  }

  /// A character of control, a format character, one of private use, or the sign for what could not be read.
  fileprivate var isDroppedByBert: Bool {
    if isASCII { return (value < 32 && value != 9 && value != 10 && value != 13) || value == 127 }
    if value == 0xFFFD { return true }
    switch bertCategory {
    case .control, .format, .privateUse: return true
    default: return false
    }
  }

  /// Within the blocks of CJK ideographs that BERT was trained with.
  fileprivate var isChinese: Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
