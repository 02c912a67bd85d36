import Enforcement
import Testing

@Suite("The key of a request")
struct RequestKeyTests {
  private func key(_ fields: [(String, String)], _ body: String = "") -> RequestKey? {
    RequestKey(
      fields: fields.map { RawField(name: Array($0.0.utf8)[...], value: Array($0.1.utf8)[...]) }, body: Array(body.utf8)
    )
  }

  @Test("is the same for the same request, whatever id Envoy gave it")
  func same() {
    #expect(key([(":path", "/"), ("x-request-id", "1")], "b") == key([(":path", "/"), ("x-request-id", "22")], "b"))
  }

  @Test("differs in everything else, however the bytes are split")
  func differs() throws {
    let keys = [
      key([("a", "1")], "b"), key([("a", "1")], "c"), key([("a", "1b")]), key([("a1", "b")]),
      key([("a", "1"), ("b", "")]),
      key([("b", ""), ("a", "1")]), key([("a", "1"), ("a", "1")]), key([], "a1b"), key([("a", "1\0b\0")]),
      key([("a", "1")], "\0\u{1}b\0\0"), key([("x-request-id", "1"), ("a", "1")]), key([("a", "1")]),
    ]
    #expect(Set(keys.compactMap(\.self)).count == keys.count)
  }

  @Test("is none for a request that is too large to be remembered")
  func bound() {
    #expect(key([("a", "1")], String(repeating: "x", count: RequestKey.maximumBytes)) == nil)
  }
}
