/// A text, or a pair of them, as a model takes it in.
struct TokenSequence: Sendable, Hashable {
  /// With the tokens that begin and end a text.
  var tokens: [Int32]
  /// How many tokens, from the beginning, belong to the first text; all when there is one only.
  var firstCount: Int
}

/// Makes a model's tokens out of texts.
///
/// What a text holds is never read as one of the model's special tokens: `[SEP]` in it is a bracket, three letters and
/// a bracket. Hugging Face's tokenizers do so only when told to (`split_special_tokens`), and would otherwise let
/// whoever writes a text end it early for the model.
struct BertTokenizer: Sendable {
  private let normalization: BertNormalization
  private let wordPiece: WordPiece
  private let classification: Int32
  private let separator: Int32

  struct SpecialTokens: Sendable, Hashable {
    var classification = "[CLS]"
    var separator = "[SEP]"
    var unknown = "[UNK]"
  }

  /// - Parameter file: named by errors
  init(
    _ vocabulary: Vocabulary, _ normalization: BertNormalization, _ special: SpecialTokens, file: String
  ) throws(ModelError) {
    func token(_ name: String) throws(ModelError) -> Int32 {
      guard let token = vocabulary[name] else {
        throw .malformed(file: file, expected: "the token \(name)", found: "a vocabulary without it")
      }
      return token
    }
    self.normalization = normalization
    classification = try token(special.classification)
    separator = try token(special.separator)
    wordPiece = WordPiece(vocabulary: vocabulary, unknown: try token(special.unknown))
  }

  /// - Parameter limit: the most tokens, at least 2; a longer text loses its end
  func encode(_ text: String, limit: Int) -> TokenSequence {
    let tokens = [classification] + pieces(of: text, limit: limit - 2) + [separator]
    return TokenSequence(tokens: tokens, firstCount: tokens.count)
  }

  /// - Parameter limit: the most tokens, at least 3; of texts that are too long the longer one loses its end first, and
  ///   when either alone is longer than the limit, they count as equally long
  func encode(_ first: String, _ second: String, limit: Int) -> TokenSequence {
    var a = pieces(of: first, limit: limit)
    var b = pieces(of: second, limit: limit)
    let room = limit - 3
    if a.count + b.count > room {
      let shorter = min(a.count, b.count)
      // Both are cut to a half when the shorter one has more than that.
      let kept = shorter > room / 2 ? room / 2 : shorter
      let (forA, forB) = a.count <= b.count ? (kept, room - kept) : (room - kept, kept)
      a = Array(a.prefix(forA))
      b = Array(b.prefix(forB))
    }
    let head = [classification] + a + [separator]
    return TokenSequence(tokens: head + b + [separator], firstCount: head.count)
  }

  private func pieces(of text: String, limit: Int) -> [Int32] {
    var tokens: [Int32] = []
    var words = BertWords(text, normalization)
    while tokens.count < limit, let word = words.next() { wordPiece.append(word, to: &tokens) }
    return Array(tokens.prefix(limit))
  }
}
