import AgentProtocols
import CASACore
import Testing

@Suite("A request to an agent, by either binding")
struct A2ARequestTests {
  private func parse(
    _ method: String, _ path: String, query: String? = nil, base: String = "/a2a", type: String? = "application/json",
    _ body: String = ""
  ) throws(ProtocolViolation) -> A2ARequest {
    try A2ARequest(
      method: method, path: path, query: query, basePath: base, contentType: method == "GET" ? nil : type,
      body: Array(body.utf8))
  }

  private func refusal(
    _ method: String, _ path: String, query: String? = nil, base: String = "/a2a", type: String? = "application/json",
    _ body: String = ""
  ) -> RefusalReason? {
    violation { () throws(ProtocolViolation) in
      _ = try parse(method, path, query: query, base: base, type: type, body)
    }?.reason
  }

  private func rpc(_ method: String, _ params: String) -> String {
    #"{"jsonrpc":"2.0","id":"1","method":"\#(method)","params":\#(params)}"#
  }

  /// What a2a-sdk 1.3.0 (Python) writes for one message with a text, a link or file, and data, by each of its transports.
  private static let recorded: [(path: String, operation: String, body: String)] = [
    (
      "/a2a", "SendMessage",
      #"{"method":"SendMessage","params":{"message":{"messageId":"m1","contextId":"c1","taskId":"t1","role":"ROLE_USER","parts":[{"text":"héllo"},{"url":"https://x/y","mediaType":"a/b"},{"data":{"k":1.0}}]}},"id":"b99232d3-7092-40f6-86c7-d547884bba1c","jsonrpc":"2.0"}"#
    ),
    (
      "/a2a", "message/send",
      #"{"method":"message/send","params":{"message":{"contextId":"c1","kind":"message","messageId":"m1","parts":[{"kind":"text","text":"héllo"},{"file":{"mimeType":"a/b","uri":"https://x/y"},"kind":"file"},{"data":{"k":1.0},"kind":"data"}],"role":"user","taskId":"t1"}},"id":"b99232d3-7092-40f6-86c7-d547884bba1c","jsonrpc":"2.0"}"#
    ),
    (
      "/a2a/message:send", "SendMessage",
      #"{"message":{"messageId":"m1","contextId":"c1","taskId":"t1","role":"ROLE_USER","parts":[{"text":"héllo"},{"url":"https://x/y","mediaType":"a/b"},{"data":{"k":1.0}}]}}"#
    ),
    (
      "/a2a/v1/message:send", "SendMessage",
      #"{"request":{"message_id":"m1","context_id":"c1","task_id":"t1","role":"ROLE_USER","content":[{"text":"héllo"},{"file":{"file_with_uri":"https://x/y","mime_type":"a/b"}},{"data":{"data":{"k":1.0}}}]},"configuration":{}}"#
    ),
  ]

  @Test("as the official SDK writes it is read the same way from each binding and version")
  func recorded() throws {
    for sample in Self.recorded {
      let request = try parse("POST", sample.path, sample.body)
      #expect(request.operation == sample.operation)
      #expect(request.id == (sample.path == "/a2a" ? .string("b99232d3-7092-40f6-86c7-d547884bba1c") : nil))
      guard case .message(let message) = request.content else {
        Issue.record("expected a message")
        continue
      }
      #expect(message.text == "héllo")
      #expect(message.contextID == "c1")
      #expect(message.hasOtherParts)
    }
  }

  @Test("is read in the same way when its answer is to be streamed")
  func streams() throws {
    let message =
      #"{"message":{"role":"user","messageId":"m","parts":[{"kind":"text","text":"a"},{"kind":"text","text":"b"}]}}"#
    for request in [
      try parse("POST", "/a2a/message:stream", message), try parse("POST", "/a2a", rpc("message/stream", message)),
      try parse("POST", "/a2a", rpc("SendStreamingMessage", message)),
      try parse("POST", "/message:stream", base: "/", type: "application/a2a+json", message),
    ] {
      guard case .message(let message) = request.content else {
        Issue.record("expected a message")
        continue
      }
      #expect(message.text == "a\nb")
      #expect(!message.hasOtherParts)
    }
  }

  @Test("asks for tasks and cards")
  func others() throws {
    let id = A2ARequest.Content.task(id: "t-1")
    #expect(try parse("GET", "/a2a/tasks/t-1").content == id)
    #expect(try parse("GET", "/a2a/v1/tasks/t-1", query: "historyLength=2").content == id)
    #expect(try parse("GET", "/a2a/tasks/t-1:subscribe").content == id)
    #expect(try parse("POST", "/a2a/tasks/t-1:subscribe", type: nil).content == id)
    #expect(try parse("POST", "/a2a/v1/tasks/t-1:cancel", "{}").operation == "CancelTask")
    #expect(try parse("POST", "/a2a/tasks/t-1:cancel", #"{"id":"t-1"}"#).content == id)
    #expect(try parse("POST", "/a2a", rpc("GetTask", #"{"id":"t-1","historyLength":1}"#)).content == id)
    #expect(try parse("GET", "/a2a/tasks", query: "contextId=c&pageSize=5").content == .taskList(contextID: "c"))
    #expect(try parse("POST", "/a2a", rpc("ListTasks", "{}")).content == .taskList(contextID: nil))
    #expect(try parse("GET", "/.well-known/agent-card.json").content == .card(isExtended: false))
    #expect(try parse("GET", "/a2a/.well-known/agent-card.json").content == .card(isExtended: false))
    #expect(try parse("GET", "/a2a/extendedAgentCard").content == .card(isExtended: true))
    #expect(try parse("GET", "/a2a/v1/card").content == .card(isExtended: true))
    #expect(try parse("POST", "/a2a", rpc("GetExtendedAgentCard", "{}")).content == .card(isExtended: true))
  }

  @Test(
    "is refused for an operation that is unknown or not let through",
    arguments: [
      ("POST", "/a2a/tasks/t/pushNotificationConfigs"), ("GET", "/a2a/tasks/t/pushNotificationConfigs"),
      ("GET", "/a2a/tasks/t/pushNotificationConfigs/p"), ("GET", "/a2a/message:send"), ("POST", "/a2a/message:Send"),
      ("POST", "/a2a/Message:send"), ("POST", "/a2a//message:send"), ("POST", "/a2a/message%3Asend"),
      ("POST", "/a2a/v2/message:send"), ("POST", "/a2a/v1/v1/message:send"), ("POST", "/a2a/v1"), ("POST", "/a2a/"),
      ("POST", "/a2b/message:send"), ("POST", "/a2amessage:send"), ("POST", "/tenant/a2a/message:send"),
      ("POST", "/message:send"), ("GET", "/a2a/tasks/.."), ("GET", "/a2a/tasks/"), ("GET", "/a2a/tasks/a:cancel"),
      ("GET", "/a2a/tasks/a%2fb"), ("GET", "/a2a/tasks/t:subscribe:subscribe"), ("POST", "/a2a/tasks/:cancel"),
      ("GET", "/.well-known/agent.json"), ("GET", "/.well-known/agent-card.json/"), ("GET", "/a2a"),
      ("GET", "/a2a/../.well-known/agent-card.json"),
    ])
  func unknown(method: String, path: String) {
    let body = method == "GET" ? "" : #"{"message":{"role":"user","messageId":"m","parts":[{"text":"a"}]}}"#
    #expect(refusal(method, path, body) == .methodNotAllowed)
  }

  @Test("is refused with another method, a query or a body where none belongs, or another content type")
  func shape() {
    let message = #"{"message":{"role":"user","messageId":"m","parts":[{"text":"a"}]}}"#
    for method in ["PUT", "DELETE", "post", "HEAD", "CONNECT"] {
      #expect(refusal(method, "/a2a", rpc("message/send", message)) == .protocolNotAllowed)
    }
    #expect(refusal("POST", "/a2a", query: "", rpc("message/send", message)) == .protocolNotAllowed)
    #expect(refusal("POST", "/a2a/message:send", query: "a=b", message) == .protocolNotAllowed)
    #expect(refusal("GET", "/.well-known/agent-card.json", query: "a") == .malformedRequest)
    #expect(refusal("GET", "/a2a/tasks/t", query: "historyLength=1&historyLength=2") == .malformedRequest)
    #expect(refusal("GET", "/a2a/tasks/t", query: "id=u") == .malformedRequest)
    #expect(refusal("GET", "/a2a/tasks/t", "{}") == .malformedRequest)
    for type in [nil, "text/plain", "application/json; charset=utf-16", "application/a2a+json"] {
      #expect(refusal("POST", "/a2a", type: type, rpc("message/send", message)) == .protocolNotAllowed)
    }
    #expect(refusal("POST", "/a2a/message:send", type: "text/plain", message) == .protocolNotAllowed)
    #expect(refusal("POST", "/a2a/message:send", type: nil, message) == .protocolNotAllowed)
    #expect(refusal("POST", "/a2a/tasks/t:cancel", #"{"id":"u"}"#) == .malformedRequest)
    #expect(refusal("POST", "/a2a/tasks/t:cancel", #"{"taskId":"t"}"#) == .malformedRequest)
  }

  @Test(
    "is refused for a message that two readers could read differently",
    arguments: [
      #"{"role":"user","parts":[{"text":"a"}],"content":[{"text":"b"}]}"#,
      #"{"role":"user","parts":[{"text":"a"}],"Parts":[{"text":"b"}]}"#,
      #"{"role":"user","parts":[{"text":"a","data":{}}]}"#, #"{"role":"user","parts":[{"kind":"data","text":"a"}]}"#,
      #"{"role":"user","parts":[{"kind":"Text","text":"a"}]}"#, #"{"role":"user","parts":[{"text":1}]}"#,
      #"{"role":"user","parts":[{"text":"a","Text":"b"}]}"#, #"{"role":"user","parts":[{}]}"#,
      #"{"role":"user","parts":["a"]}"#, #"{"role":1,"parts":[{"text":"a"}]}"#,
      #"{"role":"user","contextId":"a","context_id":"b","parts":[{"text":"a"}]}"#,
      #"{"role":"user","taskId":"a","task_id":"a","parts":[{"text":"a"}]}"#,
      #"{"role":"user","contextId":"","parts":[{"text":"a"}]}"#,
      #"{"role":"user","taskId":"a/b","parts":[{"text":"a"}]}"#,
      #"{"role":"user","kind":"task","parts":[{"text":"a"}]}"#,
      #"{"role":"user","parts":[{"text":"a"}],"parts":[{"text":"b"}]}"#,
    ])
  func ambiguous(message: String) {
    #expect(refusal("POST", "/a2a", rpc("message/send", #"{"message":\#(message)}"#)) == .malformedRequest)
    #expect(refusal("POST", "/a2a/message:send", #"{"message":\#(message)}"#) == .malformedRequest)
  }

  @Test("is refused for names that its binding has not, and with both at once")
  func names() {
    let old = #"{"role":"user","content":[{"text":"a"}]}"#
    #expect(refusal("POST", "/a2a/v1/message:send", #"{"request":\#(old)}"#) == nil)
    #expect(refusal("POST", "/a2a", rpc("message/send", #"{"request":\#(old)}"#)) == .malformedRequest)
    #expect(refusal("POST", "/a2a", rpc("message/send", #"{"message":\#(old)}"#)) == .malformedRequest)
    #expect(refusal("POST", "/a2a/v1/message:send", #"{"request":\#(old),"message":\#(old)}"#) == .malformedRequest)
  }

  @Test(
    "is refused when it asks for push notifications or another tenant",
    arguments: [
      #""configuration":{"pushNotificationConfig":{"url":"https://evil"}}"#,
      #""configuration":{"taskPushNotificationConfig":{"url":"https://evil"}}"#,
      #""configuration":{"push_notification":{}}"#, #""configuration":{"task_push_notification_config":{}}"#,
      #""tenant":"other""#,
    ])
  func push(member: String) {
    let params = #"{"message":{"role":"user","parts":[{"text":"a"}]},\#(member)}"#
    #expect(refusal("POST", "/a2a", rpc("message/send", params)) == .methodNotAllowed)
    #expect(refusal("POST", "/a2a/message:send", params) == .methodNotAllowed)
  }

  @Test("may leave push notifications and the tenant empty, and says nothing else that A2A does not name")
  func configuration() {
    func refusal(_ rest: String) -> RefusalReason? {
      self.refusal("POST", "/a2a", rpc("SendMessage", #"{"message":{"role":"user","parts":[{"text":"a"}]},\#(rest)}"#))
    }
    for rest in [
      #""tenant":"""#, #""configuration":{"pushNotificationConfig":null,"blocking":true}"#,
      #""configuration":{"accepted_output_modes":["text"],"historyLength":1}"#, #""metadata":{"a":1}"#,
    ] {
      #expect(refusal(rest) == nil, "\(rest)")
    }
    for rest in [
      #""configuration":[]"#, #""configuration":null"#, #""configuration":{"callback":"https://evil"}"#,
      #""Message":{}"#, #""other":1"#,
    ] {
      #expect(refusal(rest) == .malformedRequest, "\(rest)")
    }
  }

  @Test("asks for nothing of another tenant, whatever it asks for")
  func tenants() {
    for (method, params) in [
      ("GetTask", #"{"id":"t","tenant":"x"}"#), ("ListTasks", #"{"tenant":"x"}"#),
      ("GetExtendedAgentCard", #"{"tenant":"x"}"#), ("SendMessage", #"{"tenant":1}"#),
    ] {
      #expect(refusal("POST", "/a2a", rpc(method, params)) == .methodNotAllowed, "\(method)")
    }
  }

  @Test("names tasks and contexts by plain ids of at most 256 bytes, once")
  func ids() {
    let longest = String(repeating: "a", count: 256)
    for id in [longest, "a.b", "~_-.", "..."] {
      #expect(refusal("GET", "/a2a/tasks/\(id)") == nil)
      #expect(refusal("POST", "/a2a", rpc("GetTask", #"{"id":"\#(id)"}"#)) == nil)
    }
    for id in [longest + "a", ".", "..", "", "a/b", "a%2fb", "\u{e9}", "a b"] {
      #expect(refusal("POST", "/a2a", rpc("GetTask", #"{"id":"\#(id)"}"#)) == .malformedRequest)
      #expect(refusal("POST", "/a2a", rpc("ListTasks", #"{"contextId":"\#(id)"}"#)) == .malformedRequest)
    }
    #expect(refusal("GET", "/a2a/tasks/" + longest + "a") == .methodNotAllowed)
    #expect(refusal("GET", "/a2a/tasks", query: "contextId=a/b") == .malformedRequest)
    #expect(refusal("GET", "/a2a/tasks", query: "tenant=a") == .malformedRequest)
    #expect(refusal("POST", "/a2a", rpc("GetTask", #"{"id":"t","other":1}"#)) == .malformedRequest)
    #expect(refusal("POST", "/a2a", rpc("GetTask", "{}")) == .malformedRequest)
    #expect(refusal("GET", "/a2a/extendedAgentCard", query: "a=1") == .malformedRequest)
    #expect(refusal("GET", "/a2a/tasks/t:subscribe", query: "a=1") == .malformedRequest)
    for member in ["message", "referenceTask"] {
      let (camel, snake) =
        member == "message" ? ("messageId", "message_id") : ("referenceTaskIds", "reference_task_ids")
      let twice = #"{"message":{"role":"user","\#(camel)":"a","\#(snake)":"b","parts":[{"text":"a"}]}}"#
      #expect(refusal("POST", "/a2a", rpc("SendMessage", twice)) == .malformedRequest)
    }
  }

  @Test("has parts of one kind each, which a part of 0.3 names")
  func kinds() {
    func refusal(_ part: String) -> RefusalReason? {
      self.refusal("POST", "/a2a", rpc("SendMessage", #"{"message":{"role":"user","parts":[\#(part)]}}"#))
    }
    for part in [
      #"{"kind":"text","text":"a"}"#, #"{"kind":"file","file":{}}"#, #"{"kind":"data","data":{}}"#, #"{"raw":"AA"}"#,
      #"{"url":"u","filename":"f","mediaType":"m"}"#,
    ] {
      #expect(refusal(part) == nil, "\(part)")
    }
    for part in [
      #"{"kind":"raw","raw":"AA"}"#, #"{"kind":"url","url":"u"}"#, #"{"kind":"text","data":{}}"#,
      #"{"kind":"file","data":{}}"#, #"{"text":"a","url":"u"}"#, #"{"text":"a","other":1}"#, #"{"text":null}"#,
    ] {
      #expect(refusal(part) == .malformedRequest, "\(part)")
    }
  }

  @Test("has a body and a path that are bounded")
  func bounds() {
    let text = String(repeating: "a", count: 1 << 20)
    let message = #"{"message":{"role":"user","parts":[{"text":"\#(text)"}]}}"#
    #expect(refusal("POST", "/a2a", rpc("SendMessage", message)) == .bodyTooLarge)
    #expect(refusal("POST", "/a2a/message:send", message) == .bodyTooLarge)
    let base = "/" + String(repeating: "b", count: 2040)
    #expect(refusal("GET", base + "/tasks/t", base: base) == .methodNotAllowed)
    #expect(refusal("GET", String(base.dropLast(5)) + "/tasks/t", base: String(base.dropLast(5))) == nil)
  }

  @Test("could be at the agent's path, below it, or be the public card")
  func below() {
    for path in ["/a2a", "/a2a/", "/a2a/x/y", A2ARequest.cardPath] { #expect(A2ARequest.isBelow("/a2a", path)) }
    for path in ["/a2", "/a2ab", "/", "", "/x/a2a", "/A2A"] { #expect(!A2ARequest.isBelow("/a2a", path)) }
    #expect(A2ARequest.isBelow("/", "/anything"))
    #expect(A2ARequest.isBelow("/a2a/", "/a2a"))
  }

  @Test(
    "is refused for the methods of push notifications",
    arguments: [
      "tasks/pushNotificationConfig/set", "tasks/pushNotificationConfig/get", "tasks/pushNotificationConfig/list",
      "tasks/pushNotificationConfig/delete", "CreateTaskPushNotificationConfig", "GetTaskPushNotificationConfig",
      "ListTaskPushNotificationConfigs", "DeleteTaskPushNotificationConfig",
    ])
  func pushMethods(method: String) {
    #expect(refusal("POST", "/a2a", rpc(method, #"{"id":"t"}"#)) == .methodNotAllowed)
  }
}

@Suite("An agent's card")
struct AgentCardTests {
  private static let origin = "http://127.0.0.1:9000"

  private func isAccepted(_ text: String) -> Bool {
    violation { () throws(ProtocolViolation) in
      try AgentCard(parsing: Array(text.utf8)).requireEndpoints(at: Self.origin)
    } == nil
  }

  @Test(
    "is accepted when it leads to the agent",
    arguments: [
      #"{"name":"a","url":"http://127.0.0.1:9000/a2a","provider":{"url":"https://maker"},"documentationUrl":"https://d"}"#,
      #"{"name":"a","supportedInterfaces":[{"url":"http://127.0.0.1:9000","protocolBinding":"JSONRPC"}]}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","iconUrl":"https://i","additionalInterfaces":[{"url":null}]}"#,
    ])
  func accepted(text: String) { #expect(isAccepted(text)) }

  @Test(
    "is refused when it leads anywhere else",
    arguments: [
      #"{"name":"a","url":"http://evil/a2a"}"#, #"{"name":"a","url":"http://127.0.0.1:90001/"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000@evil/"}"#, #"{"name":"a","url":"http://127.0.0.1:9000.evil/"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000\\@evil/"}"#, #"{"name":"a","url":"HTTP://127.0.0.1:9000/"}"#,
      #"{"name":"a","url":"//127.0.0.1:9000/"}"#, #"{"name":"a","url":"http://127.0.0.1:9000/ x"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","additionalInterfaces":[{"url":"http://evil"}]}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","supportedInterfaces":[{"url":"http://evil"}]}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","supported_interfaces":[{"url":"http://evil"}]}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","URL":"http://evil"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","securitySchemes":{"o":{"flows":{"x":{"tokenUrl":"http://evil"}}}}}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","securitySchemes":{"o":{"openIdConnectUrl":"http://evil"}}}"#,
      #"{"name":"a","url":["http://127.0.0.1:9000/","http://evil/"]}"#, #"{"name":"a","url":1}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","url":"http://evil"}"#, #"{"name":"a"}"#, "{}", "[]", "",
      #"{"url":"http://127.0.0.1:9000/"}"#, #"{"name":"","url":"http://127.0.0.1:9000/"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/\\evil"}"#, #"{"name":"a","url":null}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/\u00e9"}"#,
      #"{"name":"a","url":"http://127.0.0.1:9000/","skills":[[{"documentationUrl":"http://evil"}]]}"#,
    ])
  func refused(text: String) { #expect(!isAccepted(text)) }

  @Test("is bounded")
  func bounds() {
    let filler = String(repeating: "x", count: AgentCard.limits.maximumBytes)
    #expect(!isAccepted(#"{"name":"a","url":"http://127.0.0.1:9000/","description":"\#(filler)"}"#))
    func named(_ length: Int) -> Bool {
      isAccepted(#"{"name":"\#(String(repeating: "n", count: length))","url":"http://127.0.0.1:9000/"}"#)
    }
    #expect(named(256))
    #expect(!named(257))
  }
}
