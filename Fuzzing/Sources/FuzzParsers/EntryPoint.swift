import AgentProtocols
import CASACore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What libFuzzer calls with each input. `CASA_FUZZ_TARGET` says which parser gets it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  target(Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}

private let target: @Sendable ([UInt8]) -> Void = {
  guard let name = getenv("CASA_FUZZ_TARGET").map({ String(cString: $0) }), let target = targets[name] else {
    fatalError("CASA_FUZZ_TARGET must be one of \(targets.keys.sorted().joined(separator: " "))")
  }
  return target
}()

private let targets: [String: @Sendable ([UInt8]) -> Void] = [
  "json": fuzzJSON, "jsonrpc": fuzzJSONRPC, "mcp": fuzzMCP, "a2a-jsonrpc": fuzzA2AJSONRPC, "a2a-http": fuzzA2AHTTP,
  "agent-card": fuzzAgentCard, "traceparent": fuzzTraceParent, "sse": fuzzSSE,
  "chat-request": fuzzChatRequest, "chat-answer": fuzzChatAnswer, "chat-stream": fuzzChatStream,
  "tool-listing": fuzzToolListing, "jws": fuzzJWS, "form": fuzzForm, "json-path": fuzzJSONPath,
  "request-envelope": fuzzEnvelope, "numbers": fuzzNumbers,
]

/// Ends the run with the input that broke a property.
func require(_ condition: Bool, _ property: StaticString) {
  if !condition { fatalError("broken: \(property)") }
}

// MARK: JSON

@Sendable func fuzzJSON(_ bytes: [UInt8]) {
  guard let value = try? JSONValue(parsing: bytes) else { return }
  let canonical = value.canonicalBytes
  guard let again = try? JSONValue(parsing: canonical, limits: .generous) else {
    fatalError("broken: the canonical form can be read")
  }
  // By bytes: Swift's own equality takes some different strings for equal.
  require(again.canonicalBytes == canonical, "the canonical form is its own canonical form")
  require(again == value, "the canonical form is the same value")
}

@Sendable func fuzzNumbers(_ bytes: [UInt8]) {
  guard bytes.count == 8 else { return }
  let value = Double(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) })
  guard value.isFinite else { return }
  let text = JSONValue.number(value).canonicalText
  require(Double(text) == value, "a number's text is read as the number")
  guard value.magnitude < 9_007_199_254_740_992 || value.magnitude >= 1e21 else { return }
  require((try? JSONValue(parsing: text)) == .number(value), "a number's text is JSON")
}

@Sendable func fuzzJSONPath(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let path = JSONPath(text) else { return }
  require(JSONPath(text) == path, "a path is read the same each time")
  require(path.value(in: .null) == (text == "$" ? .null : nil), "only $ leads to a scalar root")
}

// MARK: Messages

@Sendable func fuzzJSONRPC(_ bytes: [UInt8]) {
  guard let message = try? JSONRPCMessage(parsing: bytes, limits: .message) else { return }
  guard let json = try? JSONValue(parsing: bytes) else { fatalError("broken: a message is JSON") }
  require(json["jsonrpc"] == "2.0", "a message is JSON-RPC 2.0")
  switch message {
  case .request(let id, let method, let params):
    require(json["id"] == id.json, "a request has its id")
    require(json["method"] == .string(method), "a request has its method")
    require(json["params"] == .object(params) || (json["params"] == nil && params.isEmpty), "and its params")
  case .notification(let method, _):
    require(json["id"] == nil && json["method"] == .string(method), "a notification has no id")
  case .response: require(json["method"] == nil, "an answer has no method")
  }
}

@Sendable func fuzzMCP(_ bytes: [UInt8]) {
  func parse(_ body: [UInt8]) -> MCPMessage? {
    try? MCPMessage(parsing: body, methodHeader: nil, nameHeader: nil, revisionHeader: nil)
  }
  guard let message = parse(bytes) else { return }
  guard let json = try? JSONValue(parsing: bytes) else { fatalError("broken: a message is JSON") }
  guard let again = parse(json.canonicalBytes) else { fatalError("broken: the canonical form can be read") }
  require(message.method == again.method && message.id == again.id, "the canonical form is the same message")
  require(json["method"]?.string == message.method, "the method is the body's")
  if case .toolCall(_, let tool, let arguments) = message.content {
    require(json["params"]?["name"]?.string == tool.text, "the tool is the body's")
    require((json["params"]?["arguments"] ?? [:]) == .object(arguments), "the arguments are the body's")
    guard case .toolCall(_, tool, let same) = again.content else { fatalError("broken: the same tool is called") }
    require(argumentsSHA256(arguments) == argumentsSHA256(same), "the digest does not depend on the spelling")
  }
}

@Sendable func fuzzA2AJSONRPC(_ bytes: [UInt8]) {
  guard let request = try? A2ARequest(jsonRPC: bytes) else { return }
  guard let json = try? JSONValue(parsing: bytes) else { fatalError("broken: a message is JSON") }
  require((try? A2ARequest(jsonRPC: json.canonicalBytes)) == request, "the canonical form is the same request")
  guard case .message(let message) = request.content else { return }
  let texts = (json["params"]?["message"]?["parts"]?.array ?? []).compactMap { $0["text"]?.string }
  require(message.text ?? "" == texts.joined(separator: "\n"), "the text is all text of all parts")
}

/// The input is a path, a question mark and a query if there is one, a line end, and a body.
@Sendable func fuzzA2AHTTP(_ bytes: [UInt8]) {
  let line = bytes.prefix { $0 != 0x0A }
  let body = Array(bytes.dropFirst(line.count + 1))
  guard let target = String(validating: line, as: UTF8.self) else { return }
  let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
  let method = body.isEmpty ? "GET" : "POST"
  guard
    let request = try? A2ARequest(
      method: method, path: parts[0], query: parts.count > 1 ? parts[1] : nil, basePath: "/a2a",
      contentType: "application/json", body: body)
  else { return }
  require(parts[0] == A2ARequest.cardPath || parts[0].hasPrefix("/a2a"), "a path is below the agent's")
  if case .task(let id) = request.content, request.id == nil {
    require(parts[0].utf8.split(separator: 0x2F).contains { $0.starts(with: id.utf8) }, "a task is the path's")
  }
}

@Sendable func fuzzAgentCard(_ bytes: [UInt8]) {
  guard let card = try? AgentCard(parsing: bytes) else { return }
  guard (try? card.requireEndpoints(at: "http://a")) != nil else { return }
  require(
    card.endpoints.allSatisfy { $0 == "http://a" || $0.hasPrefix("http://a/") }, "an accepted card stays at its origin")
}

@Sendable func fuzzChatRequest(_ bytes: [UInt8]) {
  guard let request = try? ChatCompletionRequest(parsing: bytes) else { return }
  guard let json = try? JSONValue(parsing: bytes) else { fatalError("broken: a request is JSON") }
  require(
    (try? ChatCompletionRequest(parsing: json.canonicalBytes, limits: .generous)) == request,
    "the canonical form is the same request")
  var texts: [String] = []
  for message in json["messages"]?.array ?? [] {
    if let text = message["content"]?.string { texts.append(text) }
    texts += (message["content"]?.array ?? []).compactMap { $0["text"]?.string }
  }
  require(texts == request.texts, "no text is missed")
}

@Sendable func fuzzChatAnswer(_ bytes: [UInt8]) {
  guard let selections = try? ChatCompletion.selections(in: bytes) else { return }
  require(selections.count <= ChatCompletion.maximumCalls, "the number of calls is bounded")
}

@Sendable func fuzzChatStream(_ bytes: [UInt8]) {
  func read(_ pieces: [ArraySlice<UInt8>]) -> [ToolSelection]? {
    var stream = ChatCompletionStream()
    for piece in pieces { guard (try? stream.feed(piece)) != nil else { return nil } }
    return stream.selections()
  }
  require(read([bytes[...]]) == read(split(bytes)), "a stream in pieces is the whole stream")
}

@Sendable func fuzzSSE(_ bytes: [UInt8]) {
  func read(_ pieces: [ArraySlice<UInt8>]) -> [ServerSentEvent]? {
    var parser = ServerSentEventParser(maximumEventBytes: 4096)
    var events: [ServerSentEvent] = []
    for piece in pieces {
      guard let more = try? parser.feed(piece) else { return nil }
      events += more
    }
    return events
  }
  require(read([bytes[...]]) == read(split(bytes)), "a stream in pieces is the whole stream")
}

@Sendable func fuzzToolListing(_ bytes: [UInt8]) {
  let known: [ToolName: String] = Dictionary(
    uniqueKeysWithValues: ((try? MCPToolDefinition.parseList([
      "tools": [["name": "a"], ["name": "b", "description": "d"]]
    ]).tools) ?? [])
    .map { ($0.name, $0.digest) })
  for type in ["application/json", "text/event-stream"] {
    func read(_ pieces: [ArraySlice<UInt8>]) -> [UInt8]? {
      guard var answer = try? ToolListingAnswer(contentType: type, requestID: nil, allowed: known) else { return nil }
      var output: [UInt8] = []
      for (index, piece) in pieces.enumerated() {
        guard let more = try? answer.feed(piece, isLast: index == pieces.count - 1) else { return nil }
        output += more
      }
      return output
    }
    let whole = read([bytes[...]])
    require(whole == read(split(bytes)), "an answer in pieces is the whole answer")
    guard let whole else { continue }
    require(read([whole[...]]) == whole, "what went on is filtered already")
    var texts = [String(decoding: whole, as: UTF8.self)]
    if type == "text/event-stream" {
      var parser = ServerSentEventParser(maximumEventBytes: 8 << 20)
      texts = ((try? parser.feed(whole)) ?? []).map(\.data)
    }
    for text in texts {
      let result = try? JSONValue(parsing: text, limits: .generous)
      for tool in result?["result"]?["tools"]?.array ?? [] {
        let listed = try? MCPToolDefinition.parseList(["tools": [tool]]).tools.first
        require(listed.map { known[$0.name] == $0.digest } ?? false, "no other tool is listed")
      }
    }
  }
}

// MARK: HTTP and JOSE

@Sendable func fuzzTraceParent(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let parent = TraceParent(text) else { return }
  require(haveSameBytes(parent.text, text), "what is read is what stands there")
}

@Sendable func fuzzJWS(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let jws = try? CompactJWS(parsing: text) else { return }
  let signature = Base64URL.encode(jws.signature)
  require(jws.signingInput + Array(".\(signature)".utf8) == Array(text.utf8), "one text for one token")
  require(jws.header.object != nil && jws.payload.object != nil, "header and payload are objects")
}

@Sendable func fuzzForm(_ bytes: [UInt8]) {
  guard let form = try? FormBody(parsing: bytes) else { return }
  let fields = form.names.map { ($0, form[$0] ?? "") }
  guard let again = try? FormBody(parsing: FormBody.encode(fields)) else {
    fatalError("broken: what is written can be read")
  }
  require(again.names.count == fields.count, "no field is lost")
  for (name, value) in fields { require(haveSameBytes(again[name] ?? "", value), "each value is read again") }
}

@Sendable func fuzzEnvelope(_ bytes: [UInt8]) {
  guard let envelope = try? RequestEnvelope(parsing: bytes) else { return }
  require(envelope.bytes == bytes, "one encoding for one request")
  require((try? RequestEnvelope(fields: envelope.fields, body: envelope.body)) == envelope, "it can be made again")
}

// MARK: -

/// The input in pieces whose lengths depend on it.
private func split(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
  var pieces: [ArraySlice<UInt8>] = []
  var position = 0
  while position < bytes.count {
    let length = min(1 + Int(bytes[position]) % 7, bytes.count - position)
    pieces.append(bytes[position..<(position + length)])
    position += length
  }
  return pieces.isEmpty ? [[]] : pieces
}

extension JSONLimits {
  /// A canonical form can be longer than what it was made of: U+0001 takes six bytes in either, but 1e20 one digit each.
  fileprivate static let generous = JSONLimits(maximumBytes: 16 << 20, maximumDepth: 64, maximumNodes: 200_000)
}
