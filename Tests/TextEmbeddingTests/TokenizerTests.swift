import Foundation
import Testing

@testable import TextEmbedding

@Suite struct TokenizerTests {
  @Test func makesTheTokensOfTheReferenceImplementation() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let texts = try Golden.texts()
    #expect(texts.count > 1000)
    for golden in texts { #expect(encoder.tokens(of: golden.text) == golden.tokens, "\(golden.text.prefix(80))") }
  }

  @Test func makesTheTokensOfACasedModel() throws {
    let encoder = try SentenceEncoder(folder: Golden.path("tiny-first-token-f16"))
    for golden in try Golden.tiny().firstTokenF16 {
      #expect(encoder.tokens(of: golden.text) == golden.tokens, "\(golden.text)")
    }
  }

  @Test func dividesPairsBetweenBothTexts() throws {
    let encoder = try CrossEncoder(folder: Golden.path("tiny-cross-encoder"))
    for golden in try Golden.tiny().crossEncoder {
      let tokens = encoder.tokens(of: golden.first, golden.second)
      #expect(tokens.tokens == golden.tokens, "\(golden.first) | \(golden.second)")
      #expect(tokens.firstCount == golden.types.filter { $0 == 0 }.count)
    }
  }

  @Test func readsNoSpecialTokenOutOfAText() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let separator: Int32 = 102
    for text in ["[SEP]", "a [SEP] b", "a[SEP]b", "[CLS][PAD][MASK][UNK][SEP]"] {
      #expect(encoder.tokens(of: text).dropLast().allSatisfy { $0 != separator })
      #expect(encoder.tokens(of: text).dropFirst().allSatisfy { !(0...101).contains($0) })
    }
  }

  @Test func readsOfALongTextWhatTheModelTakesIn() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let long = String(repeating: "word ", count: 2_000_000)
    let clock = ContinuousClock()
    var tokens: [Int32] = []
    // Reading it all takes seconds.
    let time = clock.measure { tokens = encoder.tokens(of: long) }
    #expect(tokens.count == encoder.tokenLimit)
    #expect(time < .seconds(1))
  }

  @Test func findsPiecesByTheirBytes() throws {
    // Canonically equivalent, and so equal as strings of Swift.
    let vocabulary = Vocabulary([Array("[UNK]".utf8), Array("é".utf8), Array("e\u{301}".utf8), Array("##é".utf8)])
    #expect(vocabulary["é"] == 1)
    #expect(vocabulary["e\u{301}"] == 2)
    #expect(vocabulary["##é"] == 3)
    #expect(vocabulary["##e\u{301}"] == nil)
  }

  @Test func takesNoWordForAPartOfItsPieces() {
    let vocabulary = Vocabulary(["[UNK]", "play", "##ing", "##ed", "p"].map { Array($0.utf8) })
    let wordPiece = WordPiece(vocabulary: vocabulary, unknown: 0)
    func tokens(_ word: String) -> [Int32] {
      var tokens: [Int32] = [7]
      wordPiece.append(Array(word.utf8), to: &tokens)
      return tokens
    }
    #expect(tokens("playing") == [7, 1, 2])
    #expect(tokens("playinged") == [7, 1, 2, 3])
    #expect(tokens("playings") == [7, 0])
    #expect(tokens("ing") == [7, 0])
  }
}
