import IntentChecks
import TextEmbedding

/// Stands in for a model: texts are alike as far as they have the same words. Deterministic and quick.
struct WordEncoder: SentenceEncoding {
  var failure: ModelUnavailable?
  let model = "words"

  func encode(_ texts: [String]) async throws(ModelUnavailable) -> [Embedding] {
    if let failure { throw failure }
    return texts.map { text in
      var vector = [Float](repeating: 0, count: 256)
      for word in text.lowercased().split(whereSeparator: { !($0.isLetter || $0.isNumber) }) {
        var hash: UInt32 = 2_166_136_261
        for byte in word.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        vector[Int(hash % 256)] += 1
      }
      return Embedding(normalizing: vector)
    }
  }
}
