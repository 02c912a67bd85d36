import AgentProtocols
import CASACore
import Testing

/// What an answer selects, in a form that is easy to compare.
private func texts(_ selections: [ToolSelection]) -> [String] {
  selections.map { "\($0.tool)\(JSONValue.object($0.arguments).canonicalText)" }
}

@Suite("A chat completion")
struct ChatCompletionTests {
  private func selections(_ text: String) throws -> [String] {
    texts(try ChatCompletion.selections(in: Array(text.utf8)))
  }

  private func call(_ name: String, _ arguments: String) -> String {
    let arguments = JSONValue.string(arguments).canonicalText
    return #"{"id":"c","type":"function","function":{"name":"\#(name)","arguments":\#(arguments)}}"#
  }

  private func choice(_ calls: String...) -> String {
    #"{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[\#(calls.joined(separator: ","))]}}"#
  }

  @Test("selects every call of every choice")
  func choices() throws {
    let text = #"{"choices":[\#(choice(call("a", #"{"x":1}"#), call("b", "{}"))),\#(choice(call("c", " ")))]}"#
    #expect(try selections(text) == [#"a{"x":1}"#, "b{}", "c{}"])
  }

  @Test(
    "selects nothing when it only talks",
    arguments: [
      "{}", #"{"choices":[]}"#, #"{"choices":null}"#, #"{"error":{"message":"m"}}"#,
      #"{"choices":[{"message":{"content":"hi"}}]}"#,
      #"{"choices":[{"message":{"content":"hi","tool_calls":null}}]}"#, #"{"choices":[{"message":{"tool_calls":[]}}]}"#,
      #"{"choices":[{"message":{"tool_calls":[{"type":"custom"}]}}]}"#,
    ])
  func nothing(text: String) throws { #expect(try selections(text).isEmpty) }

  @Test(
    "does not select what no tool call could carry",
    arguments: [
      ("a b", "{}"), ("\u{430}", "{}"), ("", "{}"), ("a", "[]"), ("a", "null"), ("a", "{"), ("a", #"{"x":1,"x":2}"#),
      ("a", "{}{}"),
      ("a", "{\"x\":NaN}"),
    ])
  func impossible(name: String, arguments: String) throws {
    #expect(try selections(#"{"choices":[\#(choice(call(name, arguments), call("ok", "{}")))]}"#) == ["ok{}"])
  }

  @Test(
    "is refused when another reader could see something else in it",
    arguments: [
      "", "[]", "null", "{", #"{"choices":[],"choices":[{"message":{}}]}"#, "\u{FEFF}{}", "{} x",
      #"{"choices":[{"message":{"tool_calls":[],"tool_calls":[]}}]}"#,
    ])
  func refused(text: String) {
    let refusal = violation { () throws(ProtocolViolation) in _ = try ChatCompletion.selections(in: Array(text.utf8)) }
    #expect(refusal?.reason == .llmResponseUnreadable)
  }

  @Test("is refused with more than 128 calls, over all choices")
  func bound() throws {
    let sixtyFour =
      #"{"message":{"tool_calls":[\#(Array(repeating: call("a", "{}"), count: 64).joined(separator: ","))]}}"#
    #expect(try selections(#"{"choices":[\#(sixtyFour),\#(sixtyFour)]}"#).count == 128)
    #expect(throws: ProtocolViolation.self) {
      try selections(#"{"choices":[\#(sixtyFour),\#(sixtyFour),\#(choice(call("a", "{}")))]}"#)
    }
  }

  @Test("gives a selection the digest of its arguments")
  func digest() throws {
    let selection = try #require(
      try ChatCompletion.selections(in: Array(#"{"choices":[\#(choice(call("a", #"{"b":1, "a":2}"#)))]}"#.utf8)).first)
    #expect(selection.argumentsSHA256 == argumentsSHA256(["a": 2, "b": 1]))
  }
}

@Suite("A streamed chat completion")
struct ChatCompletionStreamTests {
  private func event(_ json: String) -> String { "data: \(json)\n\n" }

  private func delta(_ call: Int, name: String? = nil, _ arguments: String? = nil, choice: Int = 0) -> String {
    var function: [String: JSONValue] = [:]
    function["name"] = name.map(JSONValue.string)
    function["arguments"] = arguments.map(JSONValue.string)
    let json: JSONValue = [
      "choices": [
        [
          "index": .number(Double(choice)),
          "delta": ["tool_calls": [["index": .number(Double(call)), "function": .object(function)]]],
        ]
      ]
    ]
    return event(json.canonicalText)
  }

  private func selections(_ chunks: [[UInt8]]) throws -> [String] {
    var stream = ChatCompletionStream()
    for chunk in chunks { try stream.feed(chunk) }
    return texts(stream.selections())
  }

  private func selections(_ text: String) throws -> [String] { try selections([Array(text.utf8)]) }

  private func refusal(_ text: String) -> ProtocolViolation? {
    violation { () throws(ProtocolViolation) in
      var stream = ChatCompletionStream()
      try stream.feed(Array(text.utf8))
    }
  }

  private let talk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\"}}]}\n\n"
  private let done = "data: [DONE]\n\n"

  @Test("selects nothing while it only talks")
  func talking() throws {
    var stream = ChatCompletionStream()
    try stream.feed(Array((talk + event(#"{"choices":[]}"#) + event(#"{"usage":{}}"#)).utf8))
    #expect(stream.callCount == 0)
    #expect(!stream.isDone)
    try stream.feed(Array(done.utf8))
    #expect(stream.isDone)
    #expect(stream.selections().isEmpty)
  }

  @Test("puts the calls of all choices together, whatever the order of their pieces")
  func pieces() throws {
    let text =
      talk + delta(0, name: "a", "") + delta(1, name: "b", #"{"y":"#) + delta(0, #"{"x":"#)
      + delta(0, name: "c", "{", choice: 1)
      + delta(1, "2}") + delta(0, "1}") + delta(0, "}", choice: 1) + delta(2, name: "d") + done
    #expect(try selections(text) == [#"a{"x":1}"#, #"b{"y":2}"#, "c{}", "d{}"])
  }

  @Test("takes arguments that come before the name")
  func outOfOrder() throws {
    #expect(try selections(delta(3, "{}") + delta(3, name: "late") + done) == ["late{}"])
  }

  @Test("takes several calls of one event")
  func severalInOne() throws {
    let text = event(
      #"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"a"}},{"index":1,"function":{"name":"b"}}]}},"#
        + #"{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"name":"c"}}]}}]}"#)
    #expect(try selections(text) == ["a{}", "b{}", "c{}"])
  }

  @Test("selects the same however its bytes are split")
  func splits() throws {
    let text =
      talk + delta(0, name: "pay", #"{"to":"#) + ": ping\r\n\r\n" + delta(0, #""é😀"}"#) + delta(1, name: "b", "{}")
      + done
    let bytes = Array(text.utf8)
    let whole = [#"pay{"to":"é😀"}"#, "b{}"]
    for split in 0...bytes.count {
      #expect(try selections([Array(bytes[..<split]), Array(bytes[split...])]) == whole)
    }
    #expect(try selections(bytes.map { [$0] }) == whole)
  }

  @Test("selects the same however its arguments are cut into pieces")
  func cutArguments() throws {
    let arguments = Array(#"{"to":"a\"b","n":[1,2.5]}"#.utf8)
    for cut in 0...arguments.count {
      let first = String(decoding: arguments[..<cut], as: UTF8.self)
      let second = String(decoding: arguments[cut...], as: UTF8.self)
      #expect(
        try selections(delta(0, name: "pay", first) + delta(0, second)) == [#"pay{"n":[1,2.5],"to":"a\"b"}"#])
    }
  }

  @Test("counts a call that selects nothing")
  func countsImpossibleCalls() throws {
    var stream = ChatCompletionStream()
    try stream.feed(Array(delta(0, name: "a b", "{}").utf8))
    #expect(stream.callCount == 1)
    #expect(stream.selections().isEmpty)
  }

  @Test(
    "is refused with an event that another reader could see something else in",
    arguments: [
      "data: x\n\n", "data: {\n\n", "data: [DONE] \n\n", "data: \n\n", #"data: {"choices":[],"choices":[]}"# + "\n\n",
      #"data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"a"}}]}}]}"# + "\n\n",
      #"data: {"choices":[{"delta":{"tool_calls":[{"index":"0"}]}}]}"# + "\n\n",
      #"data: {"choices":[{"delta":{"tool_calls":[{"index":0.5}]}}]}"# + "\n\n",
    ])
  func refused(text: String) { #expect(refusal(text)?.reason == .llmResponseUnreadable) }

  @Test("is refused with a call after its end, in one piece or in several")
  func afterTheEnd() throws {
    #expect(refusal(talk + done + delta(0, name: "a", "{}"))?.reason == .llmResponseUnreadable)
    #expect(refusal(delta(0, name: "a", "{}") + done + delta(0, "x"))?.reason == .llmResponseUnreadable)
    #expect(refusal(delta(0, name: "a", "{}") + done + talk) == nil)
    var stream = ChatCompletionStream()
    try stream.feed(Array((talk + done).utf8))
    #expect(throws: ProtocolViolation.self) { try stream.feed(Array(delta(0, name: "a", "{}").utf8)) }
  }

  @Test("is refused with more than 128 calls")
  func bound() {
    #expect(refusal((0..<128).map { delta($0, name: "a") }.joined()) == nil)
    #expect(refusal((0..<129).map { delta($0, name: "a") }.joined())?.reason == .llmResponseUnreadable)
  }

  @Test("is refused when its arguments exceed 4 MiB in all")
  func size() {
    let piece = delta(0, String(repeating: " ", count: 1 << 19))
    #expect(refusal(delta(0, name: "a") + String(repeating: piece, count: 7)) == nil)
    #expect(refusal(delta(0, name: "a") + String(repeating: piece, count: 8))?.reason == .llmResponseUnreadable)
  }
}
