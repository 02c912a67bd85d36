import AgentProtocols
import CASACore
import Enforcement
import Testing

@Suite("The key of a request")
struct RequestKeyTests {
  private func key(_ fields: [(String, String)], _ body: String = "") -> RequestKey? {
    RequestKey(
      fields: fields.map { RawField(name: Array($0.0.utf8)[...], value: Array($0.1.utf8)[...]) }, body: Array(body.utf8)
    )
  }

  private static let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test(
    "is the same for requests that differ in what is new in each",
    arguments: [
      (("x-request-id", "1"), ("x-request-id", "22")), (("content-length", "9"), ("content-length", "10")),
      (("traceparent", traceparent), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00")),
    ])
  func same(_ pair: (a: (String, String), b: (String, String))) throws {
    let keys = [pair.a, pair.b].map { key([(":path", "/"), $0], "b") }
    #expect(keys[0] != nil && keys[0] == keys[1])
  }

  @Test(
    "tells a trace's other forms and other traces apart",
    arguments: [
      "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01",
      "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
      "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c", "",
    ])
  func traces(_ other: String) {
    #expect(key([("traceparent", Self.traceparent)]) != key([("traceparent", other)]))
    #expect(key([("traceparent", Self.traceparent)]) != key([("tracestate", Self.traceparent)]))
  }

  @Test("is the same for JSON-RPC requests that differ in their id only")
  func ids() throws {
    func request(_ id: String) -> RequestKey? {
      key([(":path", "/")], #"{"jsonrpc":"2.0","id":\#(id),"method":"ping","params":{"id":3}}"#)
    }
    #expect(request("1") != nil && request("1") == request("234567"))
    for other in ["0", "01", "1.5", "-1", #""1""#, "null", "1 ", "1234567890123456"] {
      #expect(request("1") != request(other), "\(other)")
    }
  }

  @Test("tells apart bodies of which the same remains where the number is taken out")
  func splits() {
    let bodies = [#"{"id":1,"id":,}"#, #"{"id":,"id":1,}"#, #"{"id":,"id":,}"#, #"{"id":11,"id":,}"#]
    let keys = bodies.map { key([], $0) }
    #expect(keys[0] != keys[1])
    #expect(keys[0] != keys[2])
    #expect(keys[0] == keys[3])
  }

  @Test(
    "represents an admission only when the number left out is the request's own id, which nothing names",
    arguments: [
      (#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, true), (#"{"params":{"id":1},"id":2}"#, false),
      (#"{"a":"\"id\":1,","id":2}"#, true), (#"{"id":"a","params":{"id":1}}"#, false), (#"{"id":"a"}"#, true),
      ("", true),
    ])
  func represents(_ body: String, _ expected: Bool) throws {
    let key = try #require(self.key([], body))
    #expect(key.represents(Admission(), of: Array(body.utf8)) == expected)
    var offering = Admission()
    offering.offer = Offer(.tools(.integer(1)), of: try #require(Name("bank")), trace: nil)
    #expect(key.represents(offering, of: Array(body.utf8)) == (expected && !body.contains("1")))
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
