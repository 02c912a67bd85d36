import Testing

@testable import NodeGuard

@Suite("Names of hosts")
struct HostNameTests {
  @Test("are fully qualified, in lower case")
  func read() throws {
    #expect(try HostName(parsing: "API.OpenAI.com").text == "api.openai.com")
    #expect(try HostName(parsing: "a-1.xn--bcher-kva.example").text == "a-1.xn--bcher-kva.example")
    #expect(
      try HostName(parsing: "api.openai.com").wireForm == [3] + "api".utf8 + [6] + "openai".utf8 + [3] + "com".utf8)
  }

  @Test("are no addresses, no single labels and nothing that DNS could not carry")
  func refused() {
    for text in [
      "", ".", "localhost", "a..b", ".a.b", "a.b.", "-a.b", "a-.b", "a_b.c", "a b.c", "1.2.3.4", "a.123", "a.0x7f",
      "::1", "*.a.b",
      "a.b/c", "a\u{0}.b", "bücher.de", "\(String(repeating: "a", count: 64)).b", "a.b:443",
    ] {
      #expect(throws: PolicyError.self, "\(text)") { try HostName(parsing: text) }
    }
  }

  @Test("are as long as the kernel's key has room for")
  func longest() throws {
    let label = String(repeating: "a", count: 61)
    let longest = [label, label, label, String(label.dropLast(1))].joined(separator: ".")
    #expect(longest.utf8.count == HostName.maximumWireLength - 2)
    #expect(try HostName(parsing: longest).wireForm.count == HostName.maximumWireLength - 1)
    #expect(throws: PolicyError.self) { try HostName(parsing: "a" + longest) }
  }

  @Test("patterns permit what is below a name")
  func patterns() throws {
    let below = try NamePattern(parsing: "*.svc.cluster.local")
    #expect(below.description == "*.svc.cluster.local")
    #expect(try below.permits(HostName(parsing: "bank.shop.svc.cluster.local")))
    #expect(try !below.permits(HostName(parsing: "evilsvc.cluster.local")))
    #expect(try NamePattern(parsing: "a.b").permits(HostName(parsing: "a.b")))
    #expect(try !NamePattern(parsing: "a.b").permits(HostName(parsing: "c.a.b")))
    for text in ["*", "*.", "*.com", "*a.b", "a.*.b", "*.*.b.c"] {
      #expect(throws: PolicyError.self, "\(text)") { try NamePattern(parsing: text) }
    }
  }

  @Test("patterns whose length byte could be a letter of a longer label are refused")
  func ambiguous() throws {
    for length in 1...63 {
      let text = "*." + String(repeating: "a", count: length) + ".example"
      let isAmbiguous = length == 45 || (48...57).contains(length)
      #expect((try? NamePattern(parsing: text)) == nil ? isAmbiguous : !isAmbiguous, "\(length)")
    }
  }
}
