import CASACore

/// What a folder says of its tokenizer: `vocab.txt` or `tokenizer.json` for the pieces of words, and
/// `tokenizer_config.json` or `tokenizer.json` for what is done to a text before.
struct TokenizerFiles: Sendable {
  let tokenizer: BertTokenizer
  /// The most tokens of a text, when the folder says so.
  let limit: Int?

  init(_ folder: ModelFolder, _ configuration: BertConfiguration) throws(ModelError) {
    let settings = try folder.jsonIfPresent("tokenizer_config.json")
    let hasVocabulary = folder.contains("vocab.txt")
    // A large file that is read only when it is needed.
    let combined = settings == nil || !hasVocabulary ? try folder.jsonIfPresent("tokenizer.json") : nil
    guard hasVocabulary || combined != nil else {
      throw .unreadable(file: folder.path("vocab.txt"), reason: "neither it nor tokenizer.json is there")
    }
    let file = folder.path(hasVocabulary ? "vocab.txt" : "tokenizer.json")
    let tokens =
      if !hasVocabulary, let combined { try Self.tokens(inTokenizer: combined) } else {
        try Self.tokens(inLines: try folder.bytes("vocab.txt"), file: file)
      }
    guard tokens.count <= configuration.vocabularyCount else {
      throw .malformed(
        file: file, expected: "at most the \(configuration.vocabularyCount) tokens of config.json",
        found: "\(tokens.count)")
    }
    var special = BertTokenizer.SpecialTokens()
    if let settings {
      special.classification = try Self.content(settings, "cls_token") ?? special.classification
      special.separator = try Self.content(settings, "sep_token") ?? special.separator
      special.unknown = try Self.content(settings, "unk_token") ?? special.unknown
    }
    tokenizer = try BertTokenizer(
      Vocabulary(tokens), try Self.normalization(settings, combined), special, file: file)
    // Tokenizers without a limit of their own have one of 10^30.
    limit = settings?.value["model_max_length"]?.integer.flatMap { Int(exactly: $0) }
  }

  private static func tokens(inLines bytes: [UInt8], file: String) throws(ModelError) -> [[UInt8]] {
    guard bytes.isValidUTF8 else { throw .malformed(file: file, expected: "UTF-8", found: "other bytes") }
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    guard lines.count <= Vocabulary.maximumCount else {
      throw .malformed(file: file, expected: "at most \(Vocabulary.maximumCount) lines", found: "\(lines.count)")
    }
    return lines.map { Array($0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0) }
  }

  private static func tokens(inTokenizer file: JSONFile) throws(ModelError) -> [[UInt8]] {
    let model = file.value["model"]
    guard model?["type"]?.string ?? "WordPiece" == "WordPiece" else {
      throw file.unsupported("a model of the type WordPiece", model?["type"]?.string ?? "none")
    }
    guard let members = model?["vocab"]?.object else { throw file.malformed("an object as `vocab`", "none") }
    guard members.count <= Vocabulary.maximumCount else {
      throw file.malformed("at most \(Vocabulary.maximumCount) tokens", "\(members.count)")
    }
    var tokens = Array(repeating: [UInt8](), count: members.count)
    for (piece, number) in members {
      guard let token = number.integer, tokens.indices.contains(Int(token)), tokens[Int(token)].isEmpty else {
        throw file.malformed("the numbers from 0, each once, in `vocab`", "another value")
      }
      tokens[Int(token)] = Array(piece.utf8)
    }
    return tokens
  }

  /// A special token stands there as text or as an object with the text.
  private static func content(_ file: JSONFile, _ name: String) throws(ModelError) -> String? {
    if let content = file.value[name]?["content"]?.string { return content }
    return try file.string(name)
  }

  private static func normalization(
    _ settings: JSONFile?, _ combined: JSONFile?
  ) throws(ModelError) -> BertNormalization {
    var normalization = BertNormalization()
    if let settings {
      normalization.lowercases = try settings.bool("do_lower_case") ?? true
      // Unless it is said, accents go when case does.
      normalization.stripsAccents = try settings.bool("strip_accents") ?? normalization.lowercases
      normalization.separatesChineseCharacters = try settings.bool("tokenize_chinese_chars") ?? true
    } else if let combined, let value = combined.value["normalizer"], value != .null {
      guard value["type"]?.string == "BertNormalizer" else {
        throw combined.unsupported("a normalizer of the type BertNormalizer", value["type"]?.string ?? "none")
      }
      let file = JSONFile(path: combined.path, value: value)
      guard try file.bool("clean_text") ?? true else {
        throw combined.unsupported("a normalizer that cleans the text", "one that doesn't")
      }
      normalization.lowercases = try file.bool("lowercase") ?? true
      normalization.stripsAccents = try file.bool("strip_accents") ?? normalization.lowercases
      normalization.separatesChineseCharacters = try file.bool("handle_chinese_chars") ?? true
    }
    return normalization
  }
}

extension [UInt8] {
  fileprivate var isValidUTF8: Bool { String(validating: self, as: UTF8.self) != nil }
}
