@testable import TextEmbedding

/// Reads any bytes as a file of weights: each tensor lies within it, and no byte belongs to two or to none.
@Sendable func fuzzSafetensors(_ bytes: [UInt8]) {
  guard let header = bytes.withUnsafeBytes({ try? SafetensorsHeader(parsing: $0, path: "input") }) else { return }
  var covered = 0
  for entry in header.entries.values {
    require(entry.bytes.lowerBound >= 8 && entry.bytes.upperBound <= bytes.count, "a tensor lies within the file")
    let count = entry.shape.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
    require(count * entry.elementType.size == entry.bytes.count, "a tensor has the bytes that its shape needs")
    covered += entry.bytes.count
  }
  require(covered <= bytes.count - 8, "no byte belongs to two tensors")
}

/// The input is a vocabulary, a piece a line, and behind an empty line two texts parted by another.
@Sendable func fuzzTokenizer(_ bytes: [UInt8]) {
  let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
  let parts = lines.split(separator: [], maxSplits: 2, omittingEmptySubsequences: false)
  let pieces = ["[CLS]", "[SEP]", "[UNK]"].map { Array($0.utf8) } + (parts.first ?? []).map { Array($0) }
  let texts = parts.dropFirst().map { String(decoding: Array($0.joined(separator: [0x0A])), as: UTF8.self) }
  let (first, second) = (texts.first ?? "", texts.dropFirst().first ?? "")
  let isPlain = bytes.count % 2 == 0
  let normalization = BertNormalization(
    lowercases: isPlain, stripsAccents: isPlain, separatesChineseCharacters: isPlain)
  let vocabulary = Vocabulary(pieces)
  guard let tokenizer = try? BertTokenizer(vocabulary, normalization, .init(), file: "input") else {
    fatalError("broken: a vocabulary with the special tokens is one")
  }
  for limit in [3, 8, 256] {
    let one = tokenizer.encode(first, limit: limit)
    require((2...limit).contains(one.tokens.count), "a text keeps to the limit")
    require(one.firstCount == one.tokens.count, "a single text is all there is")
    let two = tokenizer.encode(first, second, limit: limit)
    require((3...limit).contains(two.tokens.count), "a pair keeps to the limit")
    require((2..<two.tokens.count).contains(two.firstCount), "both texts of a pair have an end")
    let known = Int32(0)..<Int32(vocabulary.count)
    require((one.tokens + two.tokens).allSatisfy(known.contains), "each token is one of the vocabulary")
  }
  var words = BertWords(first, normalization)
  while let word = words.next() {
    require(!word.isEmpty && String(validating: word, as: UTF8.self) != nil, "a word is a text")
  }
}
