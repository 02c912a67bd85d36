import AgentProtocols
import CASACore
import Testing

@Suite("A message to an MCP server")
struct MCPMessageTests {
  private func parse(
    _ text: String, methodHeader: String? = nil, nameHeader: String? = nil, revisionHeader: String? = nil
  ) throws(ProtocolViolation) -> MCPMessage {
    try MCPMessage(
      parsing: Array(text.utf8), methodHeader: methodHeader, nameHeader: nameHeader, revisionHeader: revisionHeader)
  }

  private func refusal(
    _ text: String, methodHeader: String? = nil, nameHeader: String? = nil, revisionHeader: String? = nil
  ) -> ProtocolViolation? {
    violation { () throws(ProtocolViolation) in
      _ = try parse(text, methodHeader: methodHeader, nameHeader: nameHeader, revisionHeader: revisionHeader)
    }
  }

  private func call(_ params: String) -> String {
    #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":\#(params)}"#
  }

  private func request(_ method: String) -> String {
    #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"protocolVersion":"2025-11-25"}}"#
  }

  @Test("that calls a tool names the tool and its arguments")
  func toolCall() throws {
    let message = try parse(call(#"{"name":"get_weather","arguments":{"city":"Oslo"}}"#))
    guard case .toolCall(let id, let tool, let arguments) = message.content else {
      Issue.record("expected a tool call")
      return
    }
    #expect(id == .integer(1))
    #expect(tool.text == "get_weather")
    #expect(arguments == ["city": "Oslo"])
    #expect(message.method == "tools/call")
    #expect(message.traceParent == nil)
  }

  @Test("that calls a tool without arguments has the empty ones")
  func noArguments() throws {
    guard case .toolCall(_, _, let arguments) = try parse(call(#"{"name":"ping"}"#)).content else {
      Issue.record("expected a tool call")
      return
    }
    #expect(arguments.isEmpty)
  }

  @Test("hands on the trace of its _meta")
  func meta() throws {
    let message = try parse(call(#"{"name":"a","_meta":{"traceparent":"00-x","progressToken":1}}"#))
    #expect(message.traceParent == "00-x")
    #expect(try parse(call(#"{"name":"a","_meta":{"traceparent":1}}"#)).traceParent == nil)
    #expect(refusal(call(#"{"name":"a","_meta":[]}"#))?.reason == .malformedRequest)
    #expect(refusal(call(#"{"name":"a","_meta":null}"#))?.reason == .malformedRequest)
  }

  @Test("lists tools")
  func listing() throws {
    guard case .toolListing(let id) = try parse(request("tools/list")).content else {
      Issue.record("expected a listing")
      return
    }
    #expect(id == .integer(1))
  }

  @Test("opens and keeps a session", arguments: ["initialize", "ping", "server/discover"])
  func lifecycle(method: String) throws {
    guard case .lifecycle(.integer(1), let known) = try parse(request(method)).content else {
      Issue.record("expected a message of the session's life")
      return
    }
    #expect(known.name == method)
  }

  @Test(
    "notifies of the session's life",
    arguments: ["notifications/initialized", "notifications/cancelled", "notifications/progress"])
  func notifications(method: String) throws {
    guard case .lifecycle(nil, _) = try parse(#"{"jsonrpc":"2.0","method":"\#(method)"}"#).content else {
      Issue.record("expected a message of the session's life")
      return
    }
    #expect(refusal(request(method))?.reason == .malformedRequest)
  }

  @Test(
    "is restricted when it gets round the tools",
    arguments: [
      "completion/complete", "logging/setLevel", "prompts/list", "prompts/get", "resources/list",
      "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
      "subscriptions/listen", "tasks/list", "tasks/get", "tasks/result", "tasks/cancel",
    ])
  func restricted(method: String) throws {
    guard case .restricted(.integer(1), let known) = try parse(request(method)).content else {
      Issue.record("expected a restricted message")
      return
    }
    #expect(known.name == method)
  }

  @Test(
    "is restricted when it notifies of more than the session's life",
    arguments: ["notifications/roots/list_changed", "notifications/tasks/status"])
  func restrictedNotification(method: String) throws {
    guard case .restricted(nil, _) = try parse(#"{"jsonrpc":"2.0","method":"\#(method)"}"#).content else {
      Issue.record("expected a restricted message")
      return
    }
  }

  @Test(
    "is refused for a method that clients do not have",
    arguments: [
      "Tools/Call", "tools/call/", "tools//call", "/tools/call", "tools", "tools/calls", "sampling/createMessage",
      "elicitation/create", "roots/list", "notifications/message", "notifications/tools/list_changed", "rpc.discover",
    ])
  func unknownMethods(method: String) {
    #expect(refusal(request(method))?.reason == .methodNotAllowed)
    #expect(refusal(request(method))?.requestID == .integer(1))
  }

  @Test(
    "is refused for a method that is no method",
    arguments: [
      #""tools/call ""#, #"" tools/call""#, #""tools/call\u0009""#, #""tools\u2215call""#, "null", "1", "[]", "{}",
    ])
  func malformedMethods(method: String) {
    let text = #"{"jsonrpc":"2.0","id":1,"method":\#(method),"params":{"name":"a"}}"#
    #expect(refusal(text)?.reason == .malformedRequest)
  }

  @Test("is refused when it answers the server's own request")
  func answers() {
    #expect(refusal(#"{"jsonrpc":"2.0","id":1,"result":{"role":"assistant"}}"#)?.reason == .methodNotAllowed)
  }

  @Test(
    "is refused as a request without an id", arguments: ["tools/call", "tools/list", "initialize", "resources/read"])
  func requestsNeedIDs(method: String) {
    #expect(refusal(#"{"jsonrpc":"2.0","method":"\#(method)","params":{"name":"a"}}"#)?.reason == .malformedRequest)
  }

  @Test(
    "is refused for a tool name that is not plain",
    arguments: [
      #""""#, #""get_weather ""#, #"" get_weather""#, #""get\u200b_weather""#, #""get_we\u0430ther""#,
      #""get_weather\u0301""#,
      #""\uff47et_weather""#, #""get_weather\n""#, #""get weather""#, #""\u212Aill""#, #""get\ufeffweather""#,
      #""a:b""#,
      #""a\\b""#, "1", "null", #"["get_weather"]"#, #"{"name":"get_weather"}"#,
    ])
  func toolNames(name: String) { #expect(refusal(call(#"{"name":\#(name)}"#))?.reason == .malformedRequest) }

  @Test("is refused for a tool name beyond 128 bytes")
  func longToolName() {
    #expect(refusal(call(#"{"name":"\#(String(repeating: "a", count: 128))"}"#)) == nil)
    #expect(refusal(call(#"{"name":"\#(String(repeating: "a", count: 129))"}"#)) != nil)
  }

  @Test(
    "is refused when its params say more or less than a call",
    arguments: [
      "{}", #"{"arguments":{}}"#, #"{"name":"a","arguments":[]}"#, #"{"name":"a","arguments":null}"#,
      #"{"name":"a","arguments":"{}"}"#, #"{"name":"a","tool":"b"}"#, #"{"name":"a","Name":"b"}"#,
      #"{"name":"safe","name":"danger"}"#, #"{"name":"safe","\u006eame":"danger"}"#,
      #"{"name":"a","arguments":{"x":1,"x":2}}"#, #"{"name":"a","arguments":{"x":NaN}}"#, #"{"name":"a"/**/}"#,
    ])
  func params(params: String) { #expect(refusal(call(params))?.reason == .malformedRequest) }

  @Test("is refused in any coding but UTF-8")
  func coding() {
    let text = call(#"{"name":"a"}"#)
    let utf16 = text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    for body in [[0xEF, 0xBB, 0xBF] + Array(text.utf8), utf16, [0xFF, 0xFE] + utf16, Array(text.utf8) + [0]] {
      let refusal = violation { () throws(ProtocolViolation) in
        _ = try MCPMessage(parsing: body, methodHeader: nil, nameHeader: nil, revisionHeader: nil)
      }
      #expect(refusal?.reason == .malformedRequest)
    }
  }

  @Test("escapes of its name do not matter")
  func escapedName() throws {
    guard case .toolCall(_, let tool, _) = try parse(call(#"{"\u006eame":"\u0061"}"#)).content else {
      Issue.record("expected a tool call")
      return
    }
    #expect(tool.text == "a")
  }

  @Test("agrees with the headers that mirror it")
  func headers() {
    let body = call(#"{"name":"get_K"}"#)
    #expect(refusal(body, methodHeader: "tools/call", nameHeader: "get_K") == nil)
    for method in ["tools/list", "Tools/Call", "tools/call ", ""] {
      #expect(refusal(body, methodHeader: method)?.reason == .malformedRequest)
    }
    // The last one is the Kelvin sign, which Swift's own comparison takes for a K.
    for name in ["get_J", "get_k", "get_K ", "", "get_\u{212A}"] {
      #expect(refusal(body, nameHeader: name)?.reason == .malformedRequest)
    }
    #expect(refusal(request("initialize"), methodHeader: "tools/call")?.reason == .malformedRequest)
  }

  @Test("is read quickly when those headers are costly to compare", .timeLimit(.minutes(1)))
  func costlyHeaders() {
    let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
    let body = call(#"{"name":"a"}"#)
    #expect(refusal(body, methodHeader: marks)?.reason == .malformedRequest)
    #expect(refusal(body, nameHeader: marks)?.reason == .malformedRequest)
    #expect(refusal(body, revisionHeader: marks)?.reason == .malformedRequest)
  }
}

@Suite("The revision of MCP that a message speaks")
struct MCPRevisionTests {
  private func refusal(_ method: String, _ params: String, header: String?) -> ProtocolViolation? {
    violation { () throws(ProtocolViolation) in
      _ = try MCPMessage(
        parsing: Array(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#.utf8), methodHeader: nil,
        nameHeader: nil, revisionHeader: header)
    }
  }

  @Test("is one that was published", arguments: MCPRevision.allCases)
  func known(revision: MCPRevision) { #expect(refusal("ping", "{}", header: revision.rawValue) == nil) }

  @Test("may be left unsaid")
  func unsaid() { #expect(refusal("ping", "{}", header: nil) == nil) }

  @Test(
    "is refused when it is not known",
    arguments: ["", "2025-06-18 ", " 2025-06-18", "2025-06-19", "1.0", "DRAFT-2026-v1", "2025-06-18, 2025-11-25"])
  func unknown(header: String) {
    #expect(refusal("ping", "{}", header: header)?.reason == .malformedRequest)
    #expect(refusal("ping", "{}", header: header)?.requestID == .integer(1))
  }

  @Test("is the same in the header and in _meta")
  func meta() {
    func params(_ version: String) -> String {
      #"{"_meta":{"io.modelcontextprotocol/protocolVersion":\#(version)}}"#
    }
    #expect(refusal("tools/list", params(#""2026-07-28""#), header: "2026-07-28") == nil)
    #expect(refusal("tools/list", params(#""2026-07-28""#), header: nil) == nil)
    #expect(refusal("tools/list", params(#""2026-07-28""#), header: "2025-11-25") != nil)
    #expect(refusal("tools/list", params(#""2026-07-29""#), header: nil) != nil)
    #expect(refusal("tools/list", params("1"), header: nil) != nil)
  }

  @Test("is offered as text when a session opens, whether it is known here or not")
  func initialize() {
    #expect(refusal("initialize", #"{"protocolVersion":"2025-06-18"}"#, header: nil) == nil)
    #expect(refusal("initialize", #"{"protocolVersion":"2027-01-01"}"#, header: nil) == nil)
    for params in ["{}", #"{"protocolVersion":1}"#, #"{"protocolVersion":null}"#, #"{"protocolVersion":""}"#] {
      #expect(refusal("initialize", params, header: nil)?.reason == .malformedRequest)
    }
  }

  @Test("allows no batch, not even the one that had them", arguments: MCPRevision.allCases)
  func batches(revision: MCPRevision) {
    let refusal = violation { () throws(ProtocolViolation) in
      _ = try MCPMessage(
        parsing: Array(#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.utf8), methodHeader: nil, nameHeader: nil,
        revisionHeader: revision.rawValue)
    }
    #expect(refusal?.reason == .malformedRequest)
  }
}

@Suite("A server's list of tools")
struct MCPToolDefinitionTests {
  private func list(_ text: String) throws -> [MCPToolDefinition] {
    try MCPToolDefinition.parseList(try JSONValue(parsing: text)).tools
  }

  @Test("gives each tool a digest of all it says but _meta")
  func digests() throws {
    let plain = try list(#"{"tools":[{"name":"a","description":"d","inputSchema":{"type":"object"}}]}"#)
    let reordered = try list(
      #"{"tools":[{"inputSchema":{"type":"object"},"_meta":{"x":1},"description":"d","name":"a"}]}"#)
    #expect(plain.map(\.name.text) == ["a"])
    #expect(plain[0].digest == reordered[0].digest)
    #expect(plain[0].digest == "38946fac1e4488e2b202262ab109b4a9d3334b95a8c556592567243c9e8b679c")
    for changed in [
      #"{"name":"a","description":"D","inputSchema":{"type":"object"}}"#, #"{"name":"a","description":"d"}"#,
      #"{"name":"a","description":"d","inputSchema":{"type":"object","x":1}}"#,
      #"{"name":"b","description":"d","inputSchema":{"type":"object"}}"#,
      #"{"name":"a","description":"d","inputSchema":{"type":"object"},"annotations":{}}"#,
    ] {
      #expect(try list(#"{"tools":[\#(changed)]}"#)[0].digest != plain[0].digest)
    }
  }

  @Test("names the next page")
  func cursor() throws {
    #expect(try MCPToolDefinition.parseList(["tools": [], "nextCursor": "c"]).nextCursor == "c")
    #expect(try MCPToolDefinition.parseList(["tools": []]).nextCursor == nil)
  }

  @Test(
    "is refused unless every tool has a name of its own",
    arguments: [
      "{}", #"{"tools":{}}"#, #"{"tools":[1]}"#, #"{"tools":[{}]}"#, #"{"tools":[{"name":1}]}"#,
      #"{"tools":[{"name":""}]}"#,
      #"{"tools":[{"name":"a b"}]}"#, #"{"tools":[{"name":"\u0430"}]}"#, #"{"tools":[{"name":"a"},{"name":"a"}]}"#,
    ])
  func refused(text: String) throws {
    let json = try JSONValue(parsing: text)
    #expect(throws: ProtocolViolation.self) { try MCPToolDefinition.parseList(json) }
  }

  @Test("has at most 1000 tools")
  func bound() throws {
    func result(_ count: Int) -> JSONValue { ["tools": .array((0..<count).map { ["name": .string("t\($0)")] })] }
    #expect(try MCPToolDefinition.parseList(result(1000)).tools.count == 1000)
    #expect(throws: ProtocolViolation.self) { try MCPToolDefinition.parseList(result(1001)) }
  }
}

@Suite("The digest of a call's arguments")
struct ArgumentsDigestTests {
  @Test("is the SHA-256 of their canonical form")
  func vectors() {
    #expect(argumentsSHA256([:]) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
    #expect(argumentsSHA256(["a": 1]) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862")
  }

  @Test("does not depend on how the arguments are written")
  func writing() throws {
    let one = try #require(try JSONValue(parsing: #"{"b":[1,true],"a":"é"}"#).object)
    let other = try #require(try JSONValue(parsing: #" { "a" : "\u00e9", "b" : [ 1.0, true ] } "#).object)
    #expect(argumentsSHA256(one) == argumentsSHA256(other))
  }

  @Test("tells arguments apart that Swift's own comparison takes for equal")
  func canonicalEquivalence() {
    #expect(argumentsSHA256(["to": "é"]) != argumentsSHA256(["to": "e\u{301}"]))
    #expect(argumentsSHA256(["to": "K"]) != argumentsSHA256(["to": "\u{212A}"]))
    #expect(argumentsSHA256(["K": 1]) != argumentsSHA256(["\u{212A}": 1]))
  }
}
