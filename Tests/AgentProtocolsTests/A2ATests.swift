import AgentProtocols
import CASACore
import Testing

extension A2ARequest {
  fileprivate var text: String? { if case .message(let message) = content { message.text } else { nil } }
}

@Suite("A message to an agent")
struct A2AMessageTests {
  private func parse(_ text: String) throws(ProtocolViolation) -> A2ARequest {
    try A2ARequest(jsonRPC: Array(text.utf8))
  }

  private func refusal(_ text: String) -> ProtocolViolation? {
    violation { () throws(ProtocolViolation) in _ = try parse(text) }
  }

  private func sending(_ message: String, method: String = "message/send") -> String {
    #"{"jsonrpc":"2.0","id":"1","method":"\#(method)","params":{"message":\#(message)}}"#
  }

  @Test(
    "carries the user's words in either version's form",
    arguments: [
      ("message/send", "user"), ("message/stream", "user"), ("SendMessage", "ROLE_USER"),
      ("SendStreamingMessage", "ROLE_USER"),
    ])
  func sends(method: String, role: String) throws {
    let message = try parse(
      sending(#"{"role":"\#(role)","parts":[{"kind":"text","text":"a"},{"text":"b"}]}"#, method: method))
    #expect(message.text == "a\nb")
    #expect(message.operation == method)
    #expect(message.id == .string("1"))
  }

  @Test("has no text when no part has any")
  func noText() throws {
    #expect(try parse(sending(#"{"role":"user","parts":[{"kind":"data","data":{}}]}"#)).text == nil)
  }

  @Test(
    "asks for a task",
    arguments: ["tasks/get", "tasks/cancel", "tasks/resubscribe", "GetTask", "CancelTask", "SubscribeToTask"])
  func tasks(method: String) throws {
    let message = try parse(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"id":"t"}}"#)
    #expect(message.text == nil)
    #expect(message.operation == method)
  }

  @Test(
    "is refused for a method that is not let through",
    arguments: [
      "message/Send", "message/sends", "tools/call", "tasks/pushNotificationConfig/set",
      "CreateTaskPushNotificationConfig", "sendMessage",
    ])
  func methods(method: String) {
    let refusal = refusal(sending(#"{"role":"user","parts":[{"text":"a"}]}"#, method: method))
    #expect(refusal?.reason == .methodNotAllowed)
    #expect(refusal?.requestID == .string("1"))
  }

  @Test(
    "is refused unless the user speaks",
    arguments: [
      #"{"role":"agent","parts":[{"text":"a"}]}"#, #"{"role":"ROLE_AGENT","parts":[{"text":"a"}]}"#,
      #"{"parts":[{"text":"a"}]}"#,
      #"{"role":"User","parts":[{"text":"a"}]}"#, #"{"role":"user","parts":[]}"#, #"{"role":"user"}"#,
      #"{"role":"user","parts":{"text":"a"}}"#, "null", "[]", #""text""#,
    ])
  func messages(message: String) { #expect(refusal(sending(message))?.reason == .malformedRequest) }

  @Test(
    "is refused when it is no request",
    arguments: [
      #"{"jsonrpc":"2.0","method":"message/send","params":{"message":{"role":"user","parts":[{"text":"a"}]}}}"#,
      #"{"jsonrpc":"2.0","id":1,"result":{}}"#, #"[{"jsonrpc":"2.0","id":1,"method":"tasks/get"}]"#,
    ])
  func notRequests(text: String) { #expect(refusal(text)?.reason == .malformedRequest) }
}

@Suite("A W3C traceparent")
struct TraceParentTests {
  private static let sample = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test("of version 00 is read whole")
  func reads() throws {
    let parent = try #require(TraceParent(Self.sample))
    #expect(parent.traceID.text == "0af7651916cd43dd8448eb211c80319c")
    #expect(parent.parentID == "b7ad6b7169203331")
    #expect(parent.flags == "01")
    #expect(parent.text == Self.sample)
  }

  @Test(
    "counts as absent in any other form",
    arguments: [
      "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
      "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
      " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
      "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
      "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
      "00-0af7651916cd43dd8448eb211c8031\u{e9}-b7ad6b7169203331-01",
    ])
  func refuses(text: String) { #expect(TraceParent(text) == nil) }

  @Test("is refused whatever byte of it is no longer hexadecimal")
  func mutations() {
    for index in Self.sample.utf8.indices {
      var bytes = Array(Self.sample.utf8)
      bytes[Self.sample.utf8.distance(from: Self.sample.startIndex, to: index)] = UInt8(ascii: "x")
      #expect(TraceParent(String(decoding: bytes, as: UTF8.self)) == nil)
    }
  }

  @Test("made anew stays in its trace and can be read")
  func random() throws {
    let trace = TraceID.random()
    let parent = TraceParent.random(traceID: trace)
    #expect(TraceParent(parent.text) == parent)
    #expect(parent.traceID == trace)
    #expect(TraceParent.random(traceID: trace).parentID != parent.parentID)
  }
}
