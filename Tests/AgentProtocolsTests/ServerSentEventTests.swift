import AgentProtocols
import CASACore
import Testing

@Suite("An event stream")
struct ServerSentEventTests {
  private func events(_ chunks: [[UInt8]]) throws(ProtocolViolation) -> [ServerSentEvent] {
    var parser = ServerSentEventParser()
    var events: [ServerSentEvent] = []
    for chunk in chunks { events += try parser.feed(chunk) }
    return events
  }

  private func data(_ text: String) throws -> [String] { try events([Array(text.utf8)]).map(\.data) }

  @Test(
    "is read as WHATWG HTML section 9.2.6 has it",
    arguments: [
      ("data: a\n\n", ["a"]), ("data:a\n\n", ["a"]), ("data:  a\n\n", [" a"]), ("data: a\ndata: b\n\n", ["a\nb"]),
      ("data\n\n", [""]), ("data\ndata\n\n", ["\n"]), (": comment\ndata: a\n\n", ["a"]), (":\n\n", []), ("\n\n\n", []),
      ("event: x\n\n", []), ("id: 1\n\n", []), ("Data: a\n\n", []), (" data: a\n\n", []),
      ("retry: 1\ndata: a\n\n", ["a"]),
      ("data: a\r\n\r\n", ["a"]), ("data: a\r\r", ["a"]), ("data: a\n\r\n", ["a"]), ("data: a\r\n\n", ["a"]),
      ("data: a\n\ndata: b\n\n", ["a", "b"]), ("data: a", []), ("data: a\n", []), ("data: a:b\n\n", ["a:b"]),
      ("\u{FEFF}data: a\n\n", ["a"]), ("data: a\n\n\u{FEFF}data: b\n\n", ["a"]), ("data: é😀\n\n", ["é😀"]),
    ])
  func reads(text: String, expected: [String]) throws { #expect(try data(text) == expected) }

  @Test("names an event and keeps the last id")
  func fields() throws {
    let events = try events([
      Array("event: e\nid: 1\ndata: a\n\ndata: b\n\nid: x\u{0}y\ndata: c\n\nid\ndata: d\n\n".utf8)
    ])
    #expect(events.map(\.name) == ["e", "message", "message", "message"])
    #expect(events.map(\.id) == ["1", "1", "1", ""])
  }

  private static let stream = Array(
    "\u{FEFF}: hello\r\nevent: é\r\nid: 1\r\ndata: {\"a\":\r\ndata: \"😀\"}\r\n\r\ndata: b\r\rdata: c\n\n:x\n\ndata: d\r\n\ndata\n\n"
      .utf8)

  @Test("yields the same events wherever its bytes are split")
  func splits() throws {
    let whole = try events([Self.stream])
    #expect(whole.map(\.data) == ["{\"a\":\n\"😀\"}", "b", "c", "d", ""])
    for first in 0...Self.stream.count {
      #expect(try events([Array(Self.stream[..<first]), Array(Self.stream[first...])]) == whole)
    }
    #expect(try events(Self.stream.map { [$0] }) == whole)
    #expect(try events(Self.stream.flatMap { [[$0], []] }) == whole)
  }

  @Test("yields the same events with any line ending")
  func endings() throws {
    let lines = ["data: a", "data: b", "", ": c", "data: d", "", ""]
    for ending in ["\n", "\r", "\r\n"] {
      #expect(try data(lines.joined(separator: ending)) == ["a\nb", "d"])
    }
  }

  @Test("is refused when it is not UTF-8, in the fields that are read")
  func coding() {
    for line in ["data: ", "event: ", "x"] {
      let bytes = Array(line.utf8) + [0xC3, 0x28] + Array("\n\n".utf8)
      let refusal = violation { () throws(ProtocolViolation) in _ = try events([bytes]) }
      #expect(refusal?.reason == .malformedRequest)
    }
  }

  @Test("is read quickly when the name of a field is costly to compare", .timeLimit(.minutes(1)))
  func hostile() throws {
    let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
    let text = "\(marks): a\n\(marks)\nd\(marks): a\ndata: b\n\n"
    var parser = ServerSentEventParser(maximumEventBytes: 4 << 20)
    #expect(try parser.feed(Array(text.utf8)).map(\.data) == ["b"])
  }

  @Test("is refused with an event beyond the limit, however it is made up")
  func limit() {
    func refusal(_ text: String) -> ProtocolViolation? {
      violation { () throws(ProtocolViolation) in
        var parser = ServerSentEventParser(maximumEventBytes: 20)
        for byte in text.utf8 { _ = try parser.feed([byte]) }
      }
    }
    let fitting = "data: " + String(repeating: "a", count: 14) + "\n\n"
    #expect(refusal(fitting) == nil)
    // The size is counted for each event anew.
    #expect(refusal(fitting + fitting) == nil)
    #expect(refusal("data: " + String(repeating: "a", count: 15))?.reason == .bodyTooLarge)
    #expect(refusal(String(repeating: "data: a\n", count: 3))?.reason == .bodyTooLarge)
    #expect(refusal(String(repeating: ":", count: 21))?.reason == .bodyTooLarge)
    #expect(refusal(String(repeating: ":\n", count: 21))?.reason == .bodyTooLarge)
  }
}
