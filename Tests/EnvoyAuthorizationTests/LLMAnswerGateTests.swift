import AgentProtocols
import CASACore
import Enforcement
import Testing

@testable import EnvoyAuthorization

@Suite("The gate for an LLM's answer")
struct LLMAnswerGateTests {
  private func gate(
    status: Int = 200, _ type: String = "text/event-stream", encoding: String? = nil
  ) throws(ProtocolViolation) -> LLMAnswerGate {
    try LLMAnswerGate(status: status, contentType: type, contentEncoding: encoding)
  }

  private let talk = Array("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n".utf8)
  private let done = Array("data: [DONE]\n\n".utf8)

  private func call(_ index: Int, _ name: String, _ arguments: String = "{}") -> [UInt8] {
    let function: JSONValue = ["name": .string(name), "arguments": .string(arguments)]
    let json: JSONValue = [
      "choices": [["index": 0, "delta": ["tool_calls": [["index": .number(Double(index)), "function": function]]]]]
    ]
    return Array("data: \(json.canonicalText)\n\n".utf8)
  }

  /// What one step lets go, and which tools have to be stored before.
  private func feed(
    _ gate: inout LLMAnswerGate, _ bytes: [UInt8], last: Bool = false
  ) throws(ProtocolViolation) -> (released: [UInt8], recorded: [String]?) {
    switch try gate.feed(bytes, isLast: last) {
    case .release(let bytes): (bytes, nil)
    case .record(let selections, let bytes): (bytes, selections.map(\.tool.text))
    }
  }

  private func refusal(_ gate: inout LLMAnswerGate, _ bytes: [UInt8], last: Bool = false) -> RefusalReason? {
    do {
      _ = try gate.feed(bytes, isLast: last)
      return nil
    } catch {
      return error.reason
    }
  }

  // MARK: Streams

  @Test("lets a stream flow while it only talks, and counts it as asked when it ends")
  func talking() throws {
    var gate = try gate()
    for _ in 0..<3 { #expect(try feed(&gate, talk) == (talk, nil)) }
    let (released, recorded) = try feed(&gate, done)
    #expect(released == done)
    #expect(recorded == [])
    #expect(try feed(&gate, [], last: true) == ([], nil))
  }

  @Test("holds a stream from its first tool call until the selections are stored")
  func holds() throws {
    var gate = try gate()
    #expect(try feed(&gate, talk) == (talk, nil))
    #expect(try feed(&gate, call(0, "pay")) == ([], nil))
    #expect(try feed(&gate, talk) == ([], nil))
    #expect(try feed(&gate, call(1, "mail")) == ([], nil))
    let (released, recorded) = try feed(&gate, done)
    #expect(recorded == ["pay", "mail"])
    #expect(released == call(0, "pay") + talk + call(1, "mail") + done)
  }

  @Test("holds a stream that ends without saying that it is done")
  func unfinished() throws {
    var gate = try gate()
    #expect(try feed(&gate, call(0, "pay")) == ([], nil))
    let (released, recorded) = try feed(&gate, [], last: true)
    #expect(recorded == ["pay"])
    #expect(released == call(0, "pay"))
  }

  @Test("never lets the end of a tool call go before it is stored, however the bytes are split")
  func splits() throws {
    let stream = talk + call(0, "pay", #"{"to":"é"}"#) + done
    // Where the event that holds the call is complete.
    let complete = talk.count + call(0, "pay", #"{"to":"é"}"#).count
    for split in 0...stream.count {
      var gate = try gate()
      var passed: [UInt8] = []
      var recordedAt: Int?
      for (bytes, isLast) in [(Array(stream[..<split]), false), (Array(stream[split...]), true)] {
        let (released, recorded) = try feed(&gate, bytes, last: isLast)
        if let recorded {
          #expect(recorded == ["pay"])
          recordedAt = passed.count
        }
        passed += released
        if recordedAt == nil { #expect(passed.count < complete) }
      }
      #expect(recordedAt != nil)
      #expect(passed == stream)
    }
  }

  @Test("lets through what comes after the end and selects nothing, and refuses what does")
  func afterDone() throws {
    for more in [call(1, "mail"), call(0, "", "x"), call(0, "x"), call(1, "a b")] {
      var gate = try gate()
      _ = try feed(&gate, call(0, "pay") + done)
      #expect(try feed(&gate, talk) == (talk, nil))
      #expect(refusal(&gate, more) == .llmResponseUnreadable)
    }
    var gate = try gate()
    _ = try feed(&gate, talk + done)
    #expect(refusal(&gate, call(0, "pay")) == .llmResponseUnreadable)
  }

  @Test("lets nothing pass any more after it refused something")
  func refusesForGood() throws {
    var gate = try gate()
    _ = try feed(&gate, talk)
    #expect(refusal(&gate, Array("data: {\n\n".utf8)) == .llmResponseUnreadable)
    for bytes in [talk, done, []] { #expect(refusal(&gate, bytes, last: true) == .llmResponseUnreadable) }
    var plain = try self.gate("application/json")
    #expect(refusal(&plain, Array("{".utf8), last: true) == .llmResponseUnreadable)
    #expect(refusal(&plain, Array("{}".utf8), last: true) == .llmResponseUnreadable)
  }

  // MARK: Plain answers

  @Test("holds a plain answer to its end")
  func plain() throws {
    let call = #"{"message":{"tool_calls":[{"function":{"name":"pay","arguments":"{}"}}]}}"#
    let body = Array(#"{"choices":[{"message":{"content":"hi"}},\#(call)]}"#.utf8)
    var gate = try gate("application/json; charset=utf-8")
    for byte in body { #expect(try feed(&gate, [byte]) == ([], nil)) }
    let (released, recorded) = try feed(&gate, [], last: true)
    #expect(released == body)
    #expect(recorded == ["pay"])
  }

  @Test("refuses a plain answer that can't be read")
  func unreadable() throws {
    for text in ["", "[]", "x", #"{"choices":[],"choices":[]}"#] {
      var gate = try gate("application/json")
      #expect(refusal(&gate, Array(text.utf8), last: true) == .llmResponseUnreadable)
    }
  }

  @Test("holds at most 4 MiB")
  func bound() throws {
    var gate = try gate("application/json")
    _ = try feed(&gate, [UInt8](repeating: 0x20, count: 4 << 20))
    #expect(refusal(&gate, [0x20]) == .llmResponseUnreadable)
    var stream = try self.gate()
    _ = try feed(&stream, call(0, "pay"))
    let comment = Array((": " + String(repeating: "x", count: 1000) + "\n\n").utf8)
    var refused = false
    for _ in 0..<5000 where !refused { refused = refusal(&stream, comment) == .llmResponseUnreadable }
    #expect(refused)
  }

  // MARK: Heads

  @Test(
    "refuses an answer that is compressed",
    arguments: ["gzip", "br", "deflate", "zstd", "gzip, identity", "", "Identity, gzip"])
  func compressed(encoding: String) {
    for type in ["application/json", "text/event-stream"] {
      #expect(throws: ProtocolViolation.self) { try gate(type, encoding: encoding) }
    }
  }

  @Test("takes an answer that says it is not compressed")
  func identity() throws { _ = try gate(encoding: "Identity") }

  @Test(
    "takes an answer in UTF-8, however it says so",
    arguments: ["application/json;charset=UTF-8", "Text/Event-Stream; charset=\"utf-8\"", "application/json ;"])
  func inUTF8(type: String) throws { _ = try gate(type) }

  @Test(
    "refuses an answer of another kind",
    arguments: [
      "", "text/plain", "application/jsonl", "text/html", "application/xml", "json", "application/json, text/html",
      "application/json; charset=utf-16", "application/json;charset=latin1", "text/event-stream; charset=utf-16",
    ])
  func types(type: String) { #expect(throws: ProtocolViolation.self) { try gate(type) } }

  @Test("refuses quickly what is costly to compare", .timeLimit(.minutes(1)))
  func hostile() throws {
    let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
    #expect(throws: ProtocolViolation.self) { try gate(marks) }
    #expect(throws: ProtocolViolation.self) { try gate(encoding: marks) }
    var stream = try gate()
    #expect(refusal(&stream, Array("data: \(marks)\n\n".utf8)) == .llmResponseUnreadable)
  }

  @Test("lets an error of the LLM's host pass as it is", arguments: [400, 429, 500, 302])
  func errors(status: Int) throws {
    var gate = try gate(status: status, "text/html")
    #expect(try feed(&gate, [1, 2]) == ([1, 2], nil))
    #expect(try feed(&gate, [3], last: true) == ([3], nil))
  }
}
