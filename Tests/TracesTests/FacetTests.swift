import Testing

@testable import Traces

@Suite("Words of a prompt")
struct FacetTests {
  @Test(
    "are what stands between anything but letters and digits, in lower case and each once",
    arguments: [
      ("", []), ("  ,.!", []), ("Transfer 25 EUR, transfer!", ["transfer", "25", "eur"]),
      ("Ünïcode ÄRGER", ["ünïcode", "ärger"]),
      ("日本語 テスト", ["日本語", "テスト"]), ("a-b_c", ["a", "b", "c"]),
    ])
  func words(text: String, expected: [String]) { #expect(Facet.words(of: text) == expected) }

  @Test("are limited in number and length, and cut alike in prompt and question")
  func bounds() {
    #expect(Facet.words(of: (0..<1000).map { "w\($0)" }.joined(separator: " ")).count == 100)
    let long = String(repeating: "ä", count: 100_000)
    let words = Facet.words(of: long)
    #expect(words.count == 1)
    #expect(words[0].utf8.count <= 64)
    #expect(Facet.words(of: words[0]) == words)
  }
}
