import AgentProtocols
import CASACore
import Testing

@Suite("A server's answer to tools/list, on its way to the client")
struct MCPServerAnswerTests {
  private static let approved = #"{"name":"a","description":"d","inputSchema":{"type":"object"}}"#

  private func allowed() throws -> [ToolName: String] {
    let result = try JSONValue(parsing: #"{"tools":[\#(Self.approved),{"name":"b","description":"old"}]}"#)
    return Dictionary(
      uniqueKeysWithValues: try MCPToolDefinition.parseList(result).tools.map { ($0.name, $0.digest) })
  }

  private func answer(_ type: String, id: JSONRPCID? = .integer(1)) throws -> MCPServerAnswer {
    try MCPServerAnswer(contentType: type, to: .toolListing(allowed: allowed()), requestID: id)
  }

  private func pass(_ text: String, as type: String = "application/json") throws -> (
    String, [MCPServerAnswer.Withheld]
  ) {
    var answer = try answer(type)
    let output = try answer.feed(Array(text.utf8), isLast: true)
    return (String(decoding: output, as: UTF8.self), answer.withheld)
  }

  private func isRefused(_ text: String, as type: String = "application/json") -> Bool {
    do {
      _ = try pass(text, as: type)
      return false
    } catch { return error is ProtocolViolation }
  }

  private func response(_ tools: String, more: String = "") -> String {
    #"{"jsonrpc":"2.0","id":1,"result":{"tools":[\#(tools)]\#(more)}}"#
  }

  @Test("holds the approved tools only, and all that belongs to a listing as it was")
  func filters() throws {
    let (text, withheld) = try pass(
      response(
        #"{"name":"c"}, \#(Self.approved) ,{"name":"b","description":"new"}"#,
        more: #", "nextCursor":"n","_meta":{"x":1}"#))
    #expect(
      text
        == #"{"id":1,"jsonrpc":"2.0","result":{"_meta":{"x":1},"nextCursor":"n","tools":[{"description":"d","inputSchema":{"type":"object"},"name":"a"}]}}"#
    )
    #expect(withheld.map(\.tool.text) == ["c", "b"])
    #expect(withheld.map(\.cause) == [.unknown, .changed])
  }

  @Test("keeps what each revision gives a listing, and nothing that could be read as a tool's result")
  func listingMembers() throws {
    let caching = #","cacheScope":"private","resultType":"complete","ttlMs":60000"#
    #expect(
      try pass(response("", more: caching)).0
        == #"{"id":1,"jsonrpc":"2.0","result":{"cacheScope":"private","resultType":"complete","tools":[],"ttlMs":60000}}"#
    )
    let bare = #"{"id":1,"jsonrpc":"2.0","result":{"tools":[]}}"#
    for more in [
      #""content":[{"type":"text","text":"pay"}]"#, #""structuredContent":{"a":1}"#, #""isError":true"#,
      #""Content":[{"type":"text","text":"pay"}]"#, #""messages":[]"#, #""instructions":"pay""#, #""more":1"#,
      #""nextCursor":{"a":1}"#, #""ttlMs":"pay""#, #""cacheScope":"pay""#, #""resultType":"input_required""#,
      #""_meta":"pay""#,
    ] {
      #expect(try pass(response("", more: "," + more)).0 == bare)
      #expect(try pass("data: \(response("", more: "," + more))\n\n", as: "text/event-stream").0 == "data: \(bare)\n\n")
    }
  }

  @Test("is no tool's result on a stream that is resumed, whatever its id")
  func resumed() throws {
    func resumed(_ answer: String) throws -> String {
      try said(
        "data: \(answer)\n\n", to: .toolListing(allowed: allowed()), as: "text/event-stream", id: nil)
    }
    let result = #""content":[{"type":"text","text":"pay"}]"#
    #expect(
      try resumed(#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],\#(result)}}"#)
        == "data: {\"id\":7,\"jsonrpc\":\"2.0\",\"result\":{\"tools\":[]}}\n\n")
    #expect(throws: ProtocolViolation.self) { try resumed(#"{"jsonrpc":"2.0","id":7,"result":{\#(result)}}"#) }
    #expect(throws: ProtocolViolation.self) {
      try resumed(#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"pay"}}"#)
    }
  }

  @Test("says of a tool nothing that its digest does not cover")
  func toolMeta() throws {
    let (text, withheld) = try pass(
      response(#"{"_meta":{"poison":1},"name":"a","description":"d","inputSchema":{"type":"object"}}"#))
    #expect(!text.contains("poison"))
    #expect(withheld.isEmpty)
  }

  @Test("may be an error")
  func errors() throws {
    let error = #"{"error":{"code":-1,"message":"m"},"id":1,"jsonrpc":"2.0"}"#
    #expect(try pass(" " + error + "\n").0 == error)
  }

  private func said(
    _ text: String, to question: MCPServerAnswer.Question, status: Int = 200, as type: String = "application/json",
    id: JSONRPCID? = .integer(1)
  ) throws -> String {
    var answer = try MCPServerAnswer(status: status, contentType: type, to: question, requestID: id)
    return String(decoding: try answer.feed(Array(text.utf8), isLast: true), as: UTF8.self)
  }

  @Test("goes on to another question as it is, but for the server's instructions to the model")
  func others() throws {
    let text =
      #"{"jsonrpc":"2.0","id":1,"result":{"a":1,"Instructions":"x","instructions":"pay","protocolVersion":"2"}}"#
    #expect(try said(text, to: .other) == #"{"id":1,"jsonrpc":"2.0","result":{"a":1,"protocolVersion":"2"}}"#)
    #expect(try said("data: \(text)\n\n", to: .other, as: "text/event-stream").contains(#""a":1"#))
    // Go's reader takes the long s for an s.
    #expect(
      try said(#"{"jsonrpc":"2.0","id":1,"result":{"in\u017Ftruction\u017F":"pay"}}"#, to: .other)
        == #"{"id":1,"jsonrpc":"2.0","result":{}}"#)
  }

  @Test(
    "says nothing when it only says that a message was taken", arguments: ["", "application/json", "text/event-stream"])
  func taken(type: String) throws {
    let answer = #"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#
    for text in ["", "Accepted", answer, "data: \(answer)\n\n"] {
      #expect(try said(text, to: .other, status: 202, as: type) == "")
      #expect(try said(text, to: .nothing, status: 202, as: type, id: nil) == "")
      #expect(try said(text, to: .toolListing(allowed: allowed()), status: 202, as: type) == "")
    }
    var taken = try MCPServerAnswer(status: 202, contentType: type, to: .nothing, requestID: nil)
    for _ in 0..<3 { #expect(try taken.feed(Array(answer.utf8), isLast: false).isEmpty) }
    #expect(try taken.feed([], isLast: true).isEmpty)
    #expect(throws: ProtocolViolation.self) { try taken.feed([], isLast: true) }
  }

  @Test(
    "answers no other request than this one, and none where nothing was asked",
    arguments: [
      "application/json", "text/event-stream",
    ])
  func foreign(type: String) throws {
    func framed(_ text: String) -> String { type == "application/json" ? text : "data: \(text)\n\n" }
    for text in [
      #"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#,
      #"{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"m"}}"#,
    ] {
      #expect(throws: ProtocolViolation.self) { try said(framed(text), to: .other, as: type) }
      #expect(throws: ProtocolViolation.self) { try said(framed(text), to: .nothing, as: type, id: nil) }
    }
    let note = #"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
    guard type == "text/event-stream" else { return }
    #expect(try said(framed(note), to: .nothing, as: type, id: nil).contains("list_changed"))
  }

  @Test(
    "of a failure goes on, unless it could answer another request",
    arguments: [
      ("", true), ("not found", true), (#"{"detail":"not found"}"#, true),
      (#"{"jsonrpc":"2.0","id":1,"error":{}}"#, true),
      (#"{"jsonrpc":"2.0","id":null,"error":{}}"#, true), (#"{"jsonrpc":"2.0","error":{}}"#, true),
      (#"{"jsonrpc":"2.0","id":2,"error":{}}"#, false), (#"{"jsonrpc":"2.0","id":"server-error","error":{}}"#, false),
      (#"{"JSONRPC":"2.0","id":2,"error":{}}"#, false), (#"{"jsonrpc":"2.0","ID":2,"error":{}}"#, false),
      (#"[{"jsonrpc":"2.0","id":2,"error":{}}]"#, false), (#"{"jsonrpc":"2.0","id":2"#, false),
      (#"{"jsonrpc":"2.0","id":1,"result":{}}"#, false), (#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, false),
      (#"{"jsonrpc":"2.0","id":null,"result":{}}"#, false), (#"{"jsonrpc":"2.0","result":{}}"#, false),
      (#"{"id":1,"result":{}}"#, false), (#"{"jsonrpc":"2.0","id":1,"error":{},"Result":{}}"#, false),
      (#"{"jsonrpc":"2.0","id":1,"error":{},"re\u017Fult":{}}"#, false), (#"{"jsonrpc":"2.0","id":1}"#, false),
      (#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#, false),
      (#"{"jsonrpc":"2.0","id":1,"error":{},"method":"sampling/createMessage"}"#, false),
      ("data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n", false),
    ] as [(String, Bool)])
  func failures(text: String, passes: Bool) throws {
    for type in ["application/json", "text/event-stream", "text/html"] {
      #expect(try said(text, to: .other, status: 404, as: type) == (passes ? text : ""))
    }
  }

  @Test(
    "is refused when it can't be read as the client will read it",
    arguments: [
      "", "[]", "null", #"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#,
      #"{"jsonrpc":"2.0","id":"1","result":{"tools":[]}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{}}"#, #"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":[]}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[{"name":"x"}]}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[]}}"#,
      #"[{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}]"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}{}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"\u0430"}]}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"a"}]}}"#,
      #"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#,
      #"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{"tools":[]},"error":{}}"#,
    ])
  func refused(text: String) { #expect(isRefused(text)) }

  @Test(
    "is read as JSON or as events only", arguments: ["", "text/html", "application/json; charset=utf-16", "text/plain"])
  func types(type: String) { #expect(throws: ProtocolViolation.self) { try answer(type) } }

  private var stream: String {
    """
    : hi\r\nid: 7\r\ndata:\r\n\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress",\ndata: "params":{"a":"é"}}\n
    event: message\nid: 8\ndata: \(response(#"{"name":"c"},"# + Self.approved))\n\ndata: {"cut
    """
  }

  @Test("comes as events, each written anew")
  func events() throws {
    let (text, withheld) = try pass(stream, as: "text/event-stream")
    #expect(
      text == "id: 7\ndata: \n\n"
        + "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"a\":\"é\"}}\n\n"
        + "id: 8\ndata: {\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{\"tools\":[{\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"},\"name\":\"a\"}]}}\n\n"
    )
    #expect(withheld.map(\.tool.text) == ["c"])
  }

  @Test("keeps the names of its events")
  func eventNames() throws {
    let (text, _) = try pass("event: other\ndata: \(response(""))\n\n", as: "text/event-stream")
    #expect(text.hasPrefix("event: other\ndata: {"))
  }

  @Test(
    "is refused when a reader could divide the name or id of an event otherwise",
    arguments: ["\u{85}", "\u{2028}", "\u{2029}", "\u{B}", "\u{C}", "\u{1C}", "\u{1D}", "\u{1E}", "\u{7F}", "é", "\t"])
  func eventFields(separator: String) throws {
    for field in ["id", "event"] {
      #expect(isRefused("\(field): 1\(separator)data: x\ndata: \(response(""))\n\n", as: "text/event-stream"))
      #expect(isRefused("\(field): 1\(separator)data: x\ndata:\n\n", as: "text/event-stream"))
      // Nothing of a comment, or of a field that nobody knows, goes on.
      let others = "x\(field): 1\(separator)\n:\(separator)\ndata:\n\n"
      #expect(try pass(others, as: "text/event-stream").0 == "data: \n\n")
    }
  }

  @Test("has no line within a text that ends for some readers only", arguments: ["\u{85}", "\u{2028}", "\u{2029}"])
  func lineSeparators(separator: String) throws {
    let note = #"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"a\#(separator)é€b"}}"#
    let (text, _) = try pass("data: \(note)\n\n", as: "text/event-stream")
    #expect(!text.unicodeScalars.contains { separator.unicodeScalars.contains($0) })
    #expect(try JSONValue(parsing: String(text.dropFirst(6).dropLast(2))) == JSONValue(parsing: note))
  }

  @Test("is read quickly when it is made of what is costly to compare", .timeLimit(.minutes(1)))
  func hostile() throws {
    let marks = String(repeating: "\u{301}\u{323}", count: 500_000)
    let passed = try said(marks, to: .other, status: 500, as: "text/plain")
    #expect(haveSameBytes(passed, marks))
    #expect(try pass(marks + ": a\n\ndata:\n\n", as: "text/event-stream").0 == "data: \n\n")
    for field in ["id", "event"] {
      #expect(isRefused("\(field): \(marks)\ndata:\n\n", as: "text/event-stream"))
    }
  }

  @Test("is one answer, and over when it is over", arguments: ["application/json", "text/event-stream"])
  func end(type: String) throws {
    let whole = type == "application/json" ? response("") : "data: \(response(""))\n\n"
    var answer = try answer(type)
    _ = try answer.feed(Array(whole.utf8), isLast: true)
    #expect(throws: ProtocolViolation.self) { try answer.feed([], isLast: true) }
    #expect(isRefused(whole + whole, as: type))
  }

  @Test("gives the same wherever its bytes are split, and nothing of an event that has not come whole")
  func splits() throws {
    for (text, type) in [(stream, "text/event-stream"), (response(Self.approved), "application/json")] {
      let bytes = Array(text.utf8)
      let whole = try pass(text, as: type).0
      for split in 0...bytes.count {
        var answer = try answer(type)
        let first = try answer.feed(bytes[..<split], isLast: false)
        if type == "application/json" { #expect(first.isEmpty) }
        let output = first + (try answer.feed(bytes[split...], isLast: true))
        #expect(String(decoding: output, as: UTF8.self) == whole)
      }
    }
  }

  @Test(
    "is refused with a server's request among its events, or another answer",
    arguments: [
      #"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#,
      #"{"jsonrpc":"2.0","id":9,"method":"elicitation/create"}"#, #"{"jsonrpc":"2.0","id":9,"method":"roots/list"}"#,
      #"{"jsonrpc":"2.0","method":"notifications/unknown"}"#, #"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
      #"{"jsonrpc":"2.0","id":3,"result":{"tools":[]}}"#, "x", "[]",
    ])
  func streamRefused(data: String) throws {
    let good = "data: " + response(Self.approved) + "\n\n"
    var answer = try answer("text/event-stream")
    #expect(try !answer.feed(Array(good.utf8), isLast: false).isEmpty)
    #expect(throws: ProtocolViolation.self) { try answer.feed(Array("data: \(data)\n\n".utf8), isLast: false) }
    // A refusal is final.
    #expect(throws: ProtocolViolation.self) { try answer.feed([], isLast: true) }
  }

  @Test("is bounded")
  func bounds() throws {
    var json = try answer("application/json")
    var events = try answer("text/event-stream")
    let half = [UInt8](repeating: 0x20, count: 2 << 20)
    for _ in 0..<2 {
      _ = try json.feed(half, isLast: false)
      _ = try events.feed(half, isLast: false)
    }
    #expect(throws: ProtocolViolation.self) { try json.feed([0x20], isLast: false) }
    #expect(throws: ProtocolViolation.self) { try events.feed([0x20], isLast: false) }
  }
}
