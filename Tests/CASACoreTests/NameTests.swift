import CASACore
import Testing

/// What no name of any kind may be.
private let neverNames = [
  "", " ", "a ", " a", "a b", "a\n", "\n", "a\u{0}", "é", "e\u{301}", "a\u{200B}", "\u{430}", "\u{FF41}", "a\u{FEFF}",
  "\u{212A}",
  "a,b", "a'b", "a\"b", "a\\b", "a;b", "a=b", "a%b", "a:b", "a@b", "a<b", "a#b", "a?b", "a*b",
]

@Suite("A tool's name")
struct ToolNameTests {
  @Test("is of A-Z a-z 0-9 _ - . /", arguments: ["a", "Z", "0", "get_weather", "a/b.c-d", "..", "/", "-", "_"])
  func accepts(text: String) { #expect(ToolName(text)?.text == text) }

  @Test("is of nothing else", arguments: neverNames)
  func refuses(text: String) { #expect(ToolName(text) == nil) }

  @Test("has 1 to 128 characters")
  func length() {
    #expect(ToolName(String(repeating: "a", count: 128)) != nil)
    #expect(ToolName(String(repeating: "a", count: 129)) == nil)
  }

  @Test("differs in the case of its letters")
  func cases() { #expect(ToolName("Pay") != ToolName("pay")) }
}

@Suite("The name of a MAS or an app")
struct NameTests {
  @Test("is an RFC 1123 label", arguments: ["a", "0", "a-b", "weather-agent2", "a--b"])
  func accepts(text: String) { #expect(Name(text)?.text == text) }

  @Test("is nothing else", arguments: neverNames + ["A", "a_b", "a.b", "a/b", "-", "-a", "a-", "Weather"])
  func refuses(text: String) { #expect(Name(text) == nil) }

  @Test("has 1 to 63 characters")
  func length() {
    #expect(Name(String(repeating: "a", count: 63)) != nil)
    #expect(Name(String(repeating: "a", count: 64)) == nil)
  }

  @Test("is for an app any but the LLM's")
  func ofApps() {
    #expect(Name(app: "agent")?.text == "agent")
    #expect(Name(app: "llm2")?.text == "llm2")
    #expect(Name(app: "llm") == nil)
    #expect(Name(app: "A") == nil)
    #expect(Name("llm")?.text == Name.llm)
  }
}

@Suite("A trace id")
struct TraceIDTests {
  @Test("is 32 lowercase hexadecimal digits, not all zero")
  func validates() {
    #expect(TraceID("0af7651916cd43dd8448eb211c80319c") != nil)
    #expect(TraceID("00000000000000000000000000000001") != nil)
    for text in [
      "", "00000000000000000000000000000000", "0AF7651916CD43DD8448EB211C80319C", "0af7651916cd43dd8448eb211c80319",
      "0af7651916cd43dd8448eb211c80319c0", "0af7651916cd43dd8448eb211c80319g", " 0af7651916cd43dd8448eb211c80319",
    ] {
      #expect(TraceID(text) == nil)
    }
  }

  @Test("made at random is one, and another each time")
  func random() {
    let ids = (0..<100).map { _ in TraceID.random() }
    #expect(Set(ids).count == 100)
    for id in ids { #expect(TraceID(id.text) == id) }
  }
}

@Suite("An identifier")
struct IdentifierTests {
  @Test("from outside is of A-Z a-z 0-9 _ - .", arguments: ["a", "app_0123", "A.b-c_9"])
  func accepts(text: String) { #expect(AppID(validating: text)?.rawValue == text) }

  @Test("from outside is of nothing else", arguments: neverNames + ["a/b"])
  func refuses(text: String) { #expect(AppID(validating: text) == nil) }

  @Test("from outside has 1 to 128 characters")
  func length() {
    #expect(AppID(validating: String(repeating: "a", count: 128)) != nil)
    #expect(AppID(validating: String(repeating: "a", count: 129)) == nil)
  }

  @Test("made at random has its prefix and 128 bits")
  func random() {
    let ids = (0..<100).map { _ in TokenID.random(prefix: "tok") }
    #expect(Set(ids).count == 100)
    for id in ids {
      #expect(id.rawValue.hasPrefix("tok_"))
      #expect(id.rawValue.utf8.count == 4 + 32)
      #expect(TokenID(validating: id.rawValue) == id)
    }
  }

  @Test("is compared by its bytes")
  func comparison() { #expect(AppID("K") != AppID("\u{212A}")) }
}

@Suite("A token's hash")
struct TokenHashTests {
  @Test("is 64 lowercase hexadecimal digits")
  func validates() {
    let text = String(repeating: "0a", count: 32)
    #expect(TokenHash(text)?.text == text)
    #expect(TokenHash(digest: [UInt8](repeating: 10, count: 32)).text == text)
    #expect(TokenHash(text)?.short == "0a0a0a0a0a0a")
    for other in ["", text + "0", String(text.dropLast()), text.uppercased(), String(text.dropLast()) + "g"] {
      #expect(TokenHash(other) == nil)
    }
  }
}
