import Foundation
import Testing

@testable import TextEmbedding

@Suite struct EncoderTests {
  @Test func agreesWithSentenceTransformersInEachComponent() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let texts = try Golden.texts().map(\.text)
    let expected = try Golden.embeddings()
    try #require(expected.count == texts.count)
    let embeddings = encoder.encode(texts)
    var greatest: Float = 0
    for (index, embedding) in embeddings.enumerated() {
      let difference = greatestDifference(embedding.components, expected[index])
      #expect(difference < 1e-4, "\(texts[index].prefix(80))")
      greatest = max(greatest, difference)
    }
    // The golden values' own rounding makes up 1.6e-5 of it.
    #expect(greatest < 3e-5)
  }

  @Test func encodesATextAloneAsAmongOthers() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    // Of one token up to the limit, with more tokens in all than go through the layers at once.
    let texts = (0..<40).map { String(repeating: "pay rent \($0) ", count: $0 * $0 % 90) }
    for (text, embedding) in zip(texts, encoder.encode(texts)) {
      #expect(greatestDifference(encoder.encode(text).components, embedding.components) < 2e-6)
    }
    #expect(encoder.encode([]).isEmpty)
  }

  @Test func readsHalfPrecisionAndTakesTheFirstToken() throws {
    let encoder = try SentenceEncoder(folder: Golden.path("tiny-first-token-f16"))
    for golden in try Golden.tiny().firstTokenF16 {
      #expect(greatestDifference(encoder.encode(golden.text).components, golden.embedding) < 1e-5, "\(golden.text)")
    }
  }

  @Test func readsBrainFloatsUnderTheNamesOfAModelWithAHead() throws {
    let encoder = try SentenceEncoder(folder: Golden.path("tiny-mean-bf16"))
    for golden in try Golden.tiny().meanBF16 {
      #expect(greatestDifference(encoder.encode(golden.text).components, golden.embedding) < 1e-5, "\(golden.text)")
    }
  }

  @Test func scoresPairsAsSentenceTransformersDoes() throws {
    let encoder = try CrossEncoder(folder: Golden.path("tiny-cross-encoder"))
    let pairs = try Golden.tiny().crossEncoder
    let scores = encoder.score(pairs.map { ($0.first, $0.second) })
    #expect(greatestDifference(scores, pairs.map(\.score)) < 1e-5)
    #expect(Set(pairs.map(\.score)).count > 10)
  }

  @Test func encodesOnManyThreadsAtOnce() async throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let texts = ["Pay the rent", "Überweise die Miete", "支付房租", "Delete every file"]
    let expected = encoder.encode(texts)
    await withTaskGroup(of: Bool.self) { group in
      for round in 0..<16 {
        group.addTask { encoder.encode(texts[round % 4]).cosine(with: expected[round % 4]) > 0.999_99 }
      }
      for await isEqual in group { #expect(isEqual) }
    }
  }

  @Test func likensWhatMeansTheSame() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    let asked = encoder.encode("Please pay my rent this month.")
    #expect(asked.cosine(with: encoder.encode("Transfer the rent to the landlord")) > 0.4)
    #expect(asked.cosine(with: encoder.encode("Delete all photos of the cat")) < 0.2)
    #expect(asked.cosine(with: asked) > 0.999_999)
  }

  @Test func comparesNothingWithWhatHasNoDirection() {
    let embedding = Embedding(normalizing: [3, 4])
    #expect(embedding.components == [0.6, 0.8])
    #expect(embedding.cosine(with: Embedding(normalizing: [3, 4, 0])) == -1)
    #expect(embedding.cosine(with: Embedding(normalizing: [.nan, 1])) == -1)
    #expect(embedding.cosine(with: Embedding(normalizing: [0, 0])) == 0)
  }
}

@Suite struct ArithmeticTests {
  @Test func computesTheActivationExactly() {
    // x · Φ(x), by the definition in double precision.
    let values = (-4000...4000).map { Float($0) / 500 }
    var result = values
    GELU.apply(&result, count: result.count)
    for (x, y) in zip(values, result) {
      let exact = Double(x) * 0.5 * (1 + erf(Double(x) / 2.0.squareRoot()))
      #expect((Double(y) - exact).magnitude < 2e-6, "\(x)")
    }
  }

  @Test(arguments: [1, 7, 8, 9, 31, 500])
  func sharesOneBetweenAllWeights(count: Int) {
    let values = (0..<count).map { Float($0 * 37 % 101) / 5 - 1000 }
    var result = values
    Softmax.apply(&result, count: count)
    let largest = values.max() ?? 0
    let exponentials = values.map { exp(Double($0 - largest)) }
    let sum = exponentials.reduce(0, +)
    for (y, exponential) in zip(result, exponentials) {
      #expect((Double(y) - exponential / sum).magnitude < 5e-7 * max(exponential / sum, 1e-3))
    }
  }

  @Test func refusesALibraryWhoseCallsCanMix() {
    #expect(!MatrixProduct.isThreadSafe(parallel: 0))
    #expect(MatrixProduct.isThreadSafe(parallel: 1))
    #expect(!MatrixProduct.isThreadSafe(parallel: 2))
  }

  @Test func trustsAProductThatIsSo() throws { try MatrixProduct.checkArithmetic() }
}
