import AgentProtocols
import CASACore
import Testing

/// What a body is refused for; nil when it passes.
func violation(_ body: () throws(ProtocolViolation) -> Void) -> ProtocolViolation? {
  do throws(ProtocolViolation) {
    try body()
    return nil
  } catch {
    return error
  }
}

@Suite("A JSON-RPC message")
struct JSONRPCTests {
  private func parse(_ text: String) throws(ProtocolViolation) -> JSONRPCMessage {
    try JSONRPCMessage(parsing: Array(text.utf8), limits: .message)
  }

  private func refusal(_ text: String) -> ProtocolViolation? {
    violation { () throws(ProtocolViolation) in _ = try parse(text) }
  }

  @Test(
    "is a request with the id it came with",
    arguments: [
      ("1", .integer(1)), ("0", .integer(0)), ("-7", .integer(-7)), ("1.0", .integer(1)),
      ("9007199254740991", .integer(9_007_199_254_740_991)), (#""a""#, .string("a")), (#""""#, .string("")),
    ] as [(String, JSONRPCID)])
  func request(id: String, expected: JSONRPCID) throws {
    guard
      case .request(let id, let method, let params) = try parse(
        #"{"jsonrpc":"2.0","id":\#(id),"method":"m","params":{"a":1}}"#)
    else {
      Issue.record("expected a request")
      return
    }
    #expect(id == expected)
    #expect(method == "m")
    #expect(params == ["a": 1])
  }

  @Test("is a notification without an id, and its params may be absent")
  func notification() throws {
    guard case .notification(let method, let params) = try parse(#"{"jsonrpc":"2.0","method":"notifications/x"}"#)
    else {
      Issue.record("expected a notification")
      return
    }
    #expect(method == "notifications/x")
    #expect(params.isEmpty)
  }

  @Test(
    "is an answer when it has a result or an error and no method",
    arguments: [
      #"{"jsonrpc":"2.0","id":1,"result":{}}"#, #"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}"#,
      #"{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}"#,
    ])
  func response(text: String) throws {
    guard case .response = try parse(text) else {
      Issue.record("expected a response")
      return
    }
  }

  @Test(
    "is refused when it is a batch, even of one and even an empty one",
    arguments: ["[]", #"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#])
  func batch(text: String) {
    #expect(refusal(text)?.reason == .malformedRequest)
    #expect(refusal(text)?.detail.contains("batch") == true)
  }

  @Test(
    "is refused unless it is exactly one",
    arguments: [
      "1", "null", #""tools/call""#, "{}", #"{"id":1,"method":"m"}"#, #"{"jsonrpc":2.0,"id":1,"method":"m"}"#,
      #"{"jsonrpc":"1.0","id":1,"method":"m"}"#, #"{"jsonrpc":"2.0 ","id":1,"method":"m"}"#,
      #"{"jsonrpc":"2.0","id":null,"method":"m"}"#, #"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#,
      #"{"jsonrpc":"2.0","id":true,"method":"m"}"#, #"{"jsonrpc":"2.0","id":[1],"method":"m"}"#,
      #"{"jsonrpc":"2.0","id":{},"method":"m"}"#, #"{"jsonrpc":"2.0","id":1}"#,
      #"{"jsonrpc":"2.0","id":1,"method":null}"#,
      #"{"jsonrpc":"2.0","id":1,"method":1}"#, #"{"jsonrpc":"2.0","id":1,"method":""}"#,
      #"{"jsonrpc":"2.0","id":1,"method":["m"]}"#, #"{"jsonrpc":"2.0","id":1,"method":"m "}"#,
      #"{"jsonrpc":"2.0","id":1,"method":" m"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m\n"}"#,
      #"{"jsonrpc":"2.0","id":1,"method":"m\u00e9"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m\u200b"}"#,
      #"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
      #"{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","extra":1}"#,
      #"{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, #"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
      #"{"jsonrpc":"2.0","result":{}}"#, #"{"jsonrpc":"2.0","id":1,"method":"m"} {}"#,
      #"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","\u006dethod":"n"}"#,
    ])
  func refused(text: String) { #expect(refusal(text)?.reason == .malformedRequest) }

  @Test("has an id of at most 256 bytes and a method of at most 128")
  func sizes() {
    func message(id: Int, method: Int) -> String {
      let id = String(repeating: "i", count: id)
      return #"{"jsonrpc":"2.0","id":"\#(id)","method":"\#(String(repeating: "m", count: method))"}"#
    }
    #expect(refusal(message(id: 256, method: 128)) == nil)
    #expect(refusal(message(id: 257, method: 128)) != nil)
    #expect(refusal(message(id: 256, method: 129)) != nil)
  }

  @Test("is refused with the id of its request where that can be read")
  func requestID() {
    #expect(refusal(#"{"jsonrpc":"2.0","id":7,"method":"m","params":[]}"#)?.requestID == .integer(7))
    #expect(refusal(#"{"jsonrpc":"2.0","id":{},"method":"m"}"#)?.requestID == nil)
    #expect(refusal(#"{"jsonrpc":"2.0","id":7,"#)?.requestID == nil)
  }

  @Test("is refused as too large beyond the limit, and never quoted")
  func limit() throws {
    let limits = JSONLimits(maximumBytes: 20, maximumDepth: 8, maximumNodes: 8)
    let body = Array(#"{"jsonrpc":"2.0","method":"secret"}"#.utf8)
    let refusal = violation { () throws(ProtocolViolation) in _ = try JSONRPCMessage(parsing: body, limits: limits) }
    #expect(refusal?.reason == .bodyTooLarge)
    #expect(refusal?.detail.contains("secret") == false)
  }

  @Test("writes its id back as it came")
  func idJSON() {
    #expect(JSONRPCID.integer(-3).json == -3)
    #expect(JSONRPCID.string("é").json == "é")
  }
}
