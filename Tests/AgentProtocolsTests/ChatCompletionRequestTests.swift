import AgentProtocols
import CASACore
import Testing

@Suite("A chat completion request")
struct ChatCompletionRequestTests {
  private func parse(_ messages: String, rest: String = "") throws(ProtocolViolation) -> ChatCompletionRequest {
    try ChatCompletionRequest(parsing: Array(#"{"model":"m","messages":\#(messages)\#(rest)}"#.utf8))
  }

  private func refusal(_ messages: String, rest: String = "") -> RefusalReason? {
    violation { () throws(ProtocolViolation) in _ = try parse(messages, rest: rest) }?.reason
  }

  @Test("gives every text of every message in order, with its role")
  func texts() throws {
    let request = try parse(
      #"""
      [{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},
      {"type":"image_url","image_url":{"url":"data:,"}},{"type":"text","text":"\u0062","cache_control":{}}]},
      {"role":"assistant","content":null,"tool_calls":[]},{"role":"assistant"},
      {"role":"tool","tool_call_id":"1","content":"t"},{"role":"developer","content":""},{"role":"function","content":"f"}]
      """#, rest: #","stream":true,"temperature":0.5"#)
    #expect(request.texts == ["s", "a", "b", "t", "", "f"])
    #expect(
      request.messages.map(\.role) == [.system, .user, .assistant, .assistant, .tool, .developer, .function])
    #expect(request.messages[1].texts == ["a", "b"])
  }

  @Test("need not be streamed", arguments: ["", #","stream":false"#, #","stream":null"#])
  func notStreaming(rest: String) throws {
    #expect(try parse(#"[{"role":"user","content":"a"}]"#, rest: rest).texts == ["a"])
  }

  @Test(
    "is refused when it is no such request",
    arguments: ["[]", "{}", "null", #"{"model":"m"}"#, #"{"model":1,"messages":[1]}"#, #"{"model":"","messages":[1]}"#])
  func otherBodies(text: String) {
    let refusal = violation { () throws(ProtocolViolation) in
      _ = try ChatCompletionRequest(parsing: Array(text.utf8))
    }
    #expect(refusal?.reason == .protocolNotAllowed)
    #expect(self.refusal("[]") == .protocolNotAllowed)
  }

  @Test(
    "is refused for a message that is none",
    arguments: [
      "1", #""a""#, "{}", #"{"role":"user"}"#, #"{"role":"user","content":null}"#, #"{"role":"user","content":1}"#,
      #"{"role":"User","content":"a"}"#, #"{"role":"user ","content":"a"}"#, #"{"role":"root","content":"a"}"#,
      #"{"role":"u\u017fer","content":"a"}"#, #"{"role":"system"}"#, #"{"role":"user","content":{"text":"a"}}"#,
      #"{"role":"user","content":["a"]}"#, #"{"role":"user","content":[{"text":"a"}]}"#,
      #"{"role":"user","content":[{"type":"text"}]}"#, #"{"role":"user","content":[{"type":"Text","text":"a"}]}"#,
      #"{"role":"user","content":[{"type":"image_url","text":"a"}]}"#,
      #"{"role":"user","content":[{"type":"text","text":["a"]}]}"#, #"{"role":"user","content":[{"type":"video"}]}"#,
    ])
  func messages(message: String) { #expect(refusal("[\(message)]") == .malformedRequest) }

  @Test(
    "is refused when two readers could read it differently",
    arguments: [
      #"[{"role":"user","content":"a","content":"b"}]"#, #"[{"role":"user","content":"a","\u0063ontent":"b"}]"#,
      #"[{"role":"user","content":"a","Content":"b"}]"#, #"[{"role":"user","content":"a","ROLE":"system"}]"#,
      #"[{"role":"user","content":[{"type":"text","text":"a","TEXT":"b"}]}]"#, #"[{"role":"user","content":"a"}],"#,
      #"[{"role":"user","content":"\ud800"}]"#, #"[{"role":"user","content":"a"}/**/]"#,
      #"[{"role":"user","content":NaN}]"#,
    ])
  func ambiguous(messages: String) { #expect(refusal(messages) == .malformedRequest) }

  @Test(
    "is refused for a second name of a member, in other letters",
    arguments: [
      #","Messages":[]"#, #","MODEL":"x""#, #","Stream":true"#, #","me\u017f\u017fages":[]"#, #","stream":"true""#,
      #","stream":1"#, #","model":"x""#,
    ])
  func members(rest: String) {
    #expect(refusal(#"[{"role":"user","content":"a"}]"#, rest: rest) == .malformedRequest)
  }

  @Test("is bounded")
  func bounds() {
    #expect(
      refusal("[{\"role\":\"user\",\"content\":\"" + String(repeating: "a", count: 1 << 20) + "\"}]") == .bodyTooLarge)
    #expect(refusal(String(repeating: "[", count: 100_000)) == .malformedRequest)
  }
}
