import AgentProtocols
import CASACore

@Sendable func fuzzJSONRPC(_ bytes: [UInt8]) {
  guard let message = try? JSONRPCMessage(parsing: bytes, limits: .message) else { return }
  let json = accepted(bytes)
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
  let json = accepted(bytes)
  guard let again = parse(json.canonicalBytes) else { fatalError("broken: the canonical form can be read") }
  require(message.method == again.method && message.id == again.id, "the canonical form is the same message")
  require(json["method"]?.string.map { haveSameBytes($0, message.method) } ?? false, "the method is the body's")
  if json["method"] == "tools/call" {
    guard case .toolCall = message.content else { fatalError("broken: a tool call is one") }
    require(json["id"] != nil && json["id"] != .null, "a tool call has an id")
    require(Set((json["params"]?.object ?? [:]).keys).isSubset(of: ["name", "arguments", "_meta"]), "and no more")
  }
  if case .toolCall(_, let tool, let arguments) = message.content {
    require(json["params"]?["name"]?.string == tool.text, "the tool is the body's")
    require((json["params"]?["arguments"] ?? [:]) == .object(arguments), "the arguments are the body's")
    guard case .toolCall(_, tool, let same) = again.content else { fatalError("broken: the same tool is called") }
    require(argumentsSHA256(arguments) == argumentsSHA256(same), "the digest does not depend on the spelling")
  }
}

@Sendable func fuzzA2AJSONRPC(_ bytes: [UInt8]) {
  guard let request = try? A2ARequest(jsonRPC: bytes) else { return }
  let json = accepted(bytes)
  require((try? A2ARequest(jsonRPC: json.canonicalBytes)) == request, "the canonical form is the same request")
  guard case .message(let message) = request.content else { return }
  requireText(of: message, in: json["params"]?["message"])
}

private func requireText(of message: A2ARequest.Message, in json: JSONValue?) {
  let parts = json?["parts"]?.array ?? json?["content"]?.array ?? []
  let texts = parts.compactMap { $0["text"]?.string }
  require(haveSameBytes(message.text ?? "", texts.joined(separator: "\n")), "the text is all text of all parts")
  require(message.hasOtherParts == (texts.count < parts.count), "other parts are known to be there")
  let all: [JSONValue] = parts + [json ?? .null]
  require(all.allSatisfy { $0["Text"] == nil && $0["Parts"] == nil && $0["TEXT"] == nil }, "there is no other text")
  require(["user", "ROLE_USER"].contains(json?["role"]?.string), "the user speaks")
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
  require(!parts[0].utf8.contains(UInt8(ascii: "%")) && !parts[0].contains("//"), "a path has one reading")
  require(A2ARequest.isBelow("/a2a", parts[0]), "what is accepted is one of the agent's paths")
  if case .message(let message) = request.content {
    let json = accepted(body)
    let inside = request.id == nil ? json : json["params"] ?? .null
    requireText(of: message, in: inside["message"] ?? inside["request"])
  }
  if case .task(let id) = request.content, request.id == nil {
    require(parts[0].utf8.split(separator: 0x2F).contains { $0.starts(with: id.utf8) }, "a task is the path's")
    if !body.isEmpty {
      let named = [accepted(body)["id"], accepted(body)["name"]].compactMap { $0 }
      require(
        named.allSatisfy { $0 == .string(id) || $0 == .string("tasks/" + id) },
        "no other task is named")
    }
  }
}

@Sendable func fuzzAgentCard(_ bytes: [UInt8]) {
  guard let card = try? AgentCard(parsing: bytes), (try? card.requireEndpoints(at: "http://a")) != nil else { return }
  let json = accepted(bytes, limits: AgentCard.limits)
  require(bytes.count <= AgentCard.limits.maximumBytes, "a card is bounded")
  func check(_ value: JSONValue, named name: String) {
    switch value {
    case .object(let members): for (name, value) in members { check(value, named: name) }
    case .array(let elements): for element in elements { check(element, named: name) }
    case .string(let text):
      guard name.utf8.suffix(3).map({ $0 | 0x20 }) == Array("url".utf8) else { return }
      require(text == "http://a" || text.utf8.starts(with: "http://a/".utf8), "an accepted card stays at its origin")
    default: break
    }
  }
  for (name, value) in json.object ?? [:] where !["provider", "documentationUrl", "iconUrl"].contains(name) {
    check(value, named: name)
  }
}

@Sendable func fuzzChatRequest(_ bytes: [UInt8]) {
  guard let request = try? ChatCompletionRequest(parsing: bytes) else { return }
  let json = accepted(bytes)
  require(
    (try? ChatCompletionRequest(parsing: json.canonicalBytes, limits: .generous)) == request,
    "the canonical form is the same request")
  var texts: [String] = []
  require(json["model"]?.string?.isEmpty == false && !request.messages.isEmpty, "a request has a model and messages")
  for message in json["messages"]?.array ?? [] {
    if let text = message["content"]?.string { texts.append(text) }
    texts += (message["content"]?.array ?? []).compactMap { $0["text"]?.string }
  }
  require(texts == request.texts, "no text is missed")
}

@Sendable func fuzzChatAnswer(_ bytes: [UInt8]) {
  guard let selections = try? ChatCompletion.selections(in: bytes) else { return }
  require(selections.count <= ChatCompletion.maximumCalls, "the number of calls is bounded")
  let json = accepted(bytes, limits: ChatCompletion.limits)
  let calls = (json["choices"]?.array ?? []).flatMap { $0["message"]?["tool_calls"]?.array ?? [] }
  let names = calls.compactMap { call -> String? in
    guard let name = call["function"]?["name"]?.string, ToolName(name) != nil else { return nil }
    let text = call["function"]?["arguments"]?.string ?? ""
    guard !text.allSatisfy(\.isWhitespace) else { return name }
    return (try? JSONValue(parsing: text))?.object == nil ? nil : name
  }
  require(names == selections.map(\.tool.text), "each call of each choice is seen")
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
  let limit = 256
  func read(_ pieces: [ArraySlice<UInt8>]) -> [ServerSentEvent]? {
    var parser = ServerSentEventParser(maximumEventBytes: limit)
    var events: [ServerSentEvent] = []
    for piece in pieces {
      guard let more = try? parser.feed(piece) else { return nil }
      events += more
    }
    return events
  }
  let events = read([bytes[...]])
  require(events == read(split(bytes)), "a stream in pieces is the whole stream")
  guard let events else { return }
  require(events.allSatisfy { $0.data.utf8.count <= limit }, "an event is bounded")
  let plain = eventsReadPlainly(bytes)
  require(
    plain.count == events.count
      && zip(plain, events).allSatisfy { plain, event in
        haveSameBytes(plain.data, event.data) && haveSameBytes(plain.name, event.name) && plain.id == event.id
      }, "the events are those of the standard's own steps")
}

/// The steps of WHATWG HTML section 9.2.6 as they are written there, on a whole stream.
private func eventsReadPlainly(_ bytes: [UInt8]) -> [(name: String, data: String, id: String?)] {
  var lines: [[UInt8]] = [[]]
  for (index, byte) in bytes.enumerated() {
    if byte == 0x0A, index > 0, bytes[index - 1] == 0x0D { continue }
    if byte == 0x0A || byte == 0x0D { lines.append([]) } else { lines[lines.count - 1].append(byte) }
  }
  lines.removeLast()  // not ended
  if lines.first?.starts(with: [0xEF, 0xBB, 0xBF]) ?? false { lines[0].removeFirst(3) }
  var events: [(name: String, data: String, id: String?)] = []
  var (data, name): ([UInt8], String) = ([], "")
  var id: String?
  for line in lines {
    guard !line.isEmpty else {
      if !data.isEmpty {
        events.append((name.isEmpty ? "message" : name, String(decoding: data.dropLast(), as: UTF8.self), id))
      }
      (data, name) = ([], "")
      continue
    }
    let field = line.prefix { $0 != UInt8(ascii: ":") }
    var value = line.dropFirst(field.count + 1)
    if value.first == 0x20 { value = value.dropFirst() }
    switch String(decoding: field, as: UTF8.self) {
    case "data": data += value + [0x0A]
    case "event": name = String(decoding: value, as: UTF8.self)
    case "id" where !value.contains(0): id = String(decoding: value, as: UTF8.self)
    default: break
    }
  }
  return events
}

/// What of a server's answer goes on, which is the same wherever it is cut, and the JSON texts in it; nil when it is refused.
private func passing(
  _ bytes: [UInt8], as type: String, _ begin: () -> MCPServerAnswer?
) -> (whole: [UInt8], texts: [String])? {
  func read(_ pieces: [ArraySlice<UInt8>]) -> [UInt8]? {
    guard var answer = begin() else { return nil }
    var output: [UInt8] = []
    for (index, piece) in pieces.enumerated() {
      guard let more = try? answer.feed(piece, isLast: index == pieces.count - 1) else { return nil }
      output += more
    }
    return output
  }
  let whole = read([bytes[...]])
  require(whole == read(split(bytes)), "an answer in pieces is the whole answer")
  guard let whole else { return nil }
  guard type == "text/event-stream" else { return (whole, [String(decoding: whole, as: UTF8.self)]) }
  requireLinesOfOneReading(whole)
  var parser = ServerSentEventParser(maximumEventBytes: 8 << 20)
  return (whole, ((try? parser.feed(whole)) ?? []).map(\.data))
}

/// No reader divides the lines of a stream otherwise than the standard does.
private func requireLinesOfOneReading(_ stream: [UInt8]) {
  let others = "\u{B}\u{C}\u{D}\u{1C}\u{1D}\u{1E}\u{85}\u{2028}\u{2029}".unicodeScalars
  let text = String(decoding: stream, as: UTF8.self)
  require(!text.unicodeScalars.contains { others.contains($0) }, "every reader divides the lines alike")
}

/// What a server says where no tool was called or listed.
private func fuzzOtherAnswers(_ bytes: [UInt8]) {
  for (type, status) in [("application/json", 200), ("text/event-stream", 200), ("application/json", 404)] {
    for (question, id) in [(MCPServerAnswer.Question.other, JSONRPCID.integer(1)), (.nothing, nil)] {
      let passed = passing(bytes, as: type) {
        try? MCPServerAnswer(status: status, contentType: type, to: question, requestID: id)
      }
      for text in passed?.texts ?? [] {
        guard let json = try? JSONValue(parsing: text, limits: .generous), let message = try? JSONRPCMessage(json),
          case .response = message
        else { continue }
        let answered = json["id"].flatMap { JSONRPCID($0) }
        require(answered == id || answered == nil && status == 404, "nothing answers another request")
        require(status == 404 || json["result"]?["instructions"] == nil, "a server does not instruct the model")
        require(status != 404 || json["result"] == nil, "a failure has no result")
      }
    }
  }
}

@Sendable func fuzzToolListing(_ bytes: [UInt8]) {
  fuzzOtherAnswers(bytes)
  let known: [ToolName: String] = Dictionary(
    uniqueKeysWithValues: ((try? MCPToolDefinition.parseList([
      "tools": [["name": "a"], ["name": "b", "description": "d"]]
    ]).tools) ?? [])
    .map { ($0.name, $0.digest) })
  for type in ["application/json", "text/event-stream"] {
    func begin() -> MCPServerAnswer? {
      try? MCPServerAnswer(contentType: type, to: .toolListing(allowed: known), requestID: nil)
    }
    guard let (whole, texts) = passing(bytes, as: type, begin) else { continue }
    require(passing(whole, as: type, begin)?.whole == whole, "what went on is filtered already")
    for text in texts {
      let result = try? JSONValue(parsing: text, limits: .generous)
      let members: Set<String> = ["_meta", "cacheScope", "nextCursor", "resultType", "tools", "ttlMs"]
      require(
        Set((result?["result"]?.object ?? [:]).keys).isSubset(of: members), "a listing is no tool's result as well")
      for tool in result?["result"]?["tools"]?.array ?? [] {
        let listed = try? MCPToolDefinition.parseList(["tools": [tool]]).tools.first
        require(listed.map { known[$0.name] == $0.digest } ?? false, "no other tool is listed")
      }
    }
  }
}

@Sendable func fuzzToolResult(_ bytes: [UInt8]) {
  for (type, status) in [("application/json", 200), ("text/event-stream", 200), ("text/plain", 500)] {
    func read(_ pieces: [ArraySlice<UInt8>]) -> (passed: [UInt8], content: ToolResultContent?)? {
      guard
        var answer = try? ToolCallAnswer(
          status: status, contentType: type, contentEncoding: nil, requestID: .integer(1))
      else { return nil }
      var passed: [UInt8] = []
      var reported: ToolResultContent?
      for (index, piece) in pieces.enumerated() {
        guard let step = try? answer.feed(piece, isLast: index == pieces.count - 1) else {
          guard case .release([]) = try? answer.feed(piece, isLast: true) else {
            fatalError("broken: nothing goes on behind a refusal")
          }
          return nil
        }
        switch step {
        case .release(let bytes): passed += bytes == Array(":\n\n".utf8) ? [] : bytes
        case .report(let content, let bytes):
          require(reported == nil, "there is one report")
          reported = content
          passed += bytes
        }
      }
      return (passed, reported)
    }
    let whole = read([bytes[...]])
    let pieces = read(split(bytes))
    // What is refused within a stream may follow upon something that has gone.
    require(
      whole?.content == pieces?.content && whole?.passed == pieces?.passed, "an answer in pieces is the whole one")
    guard let whole else { continue }
    if let content = whole.content {
      require(content.text.utf8.count <= ToolResultContent.maximumBytes, "what is reported is bounded")
      require(content.unread.count <= ToolResultContent.maximumUnread, "so is what was not read")
      require(content.unread.allSatisfy(ToolResultContent.isUnreadKind), "which has proper names")
    }
    if type == "application/json" { require(whole.passed == bytes && whole.content != nil, "JSON passes as it is") }
    if status == 500 { require(whole.passed == bytes && (whole.content == nil) == bytes.isEmpty, "so do failures") }
    guard type == "text/event-stream" else {
      if status == 200 { requireSaid(accepted(bytes, limits: ToolCallAnswer.limits), by: whole.content) }
      continue
    }
    requireLinesOfOneReading(whole.passed)
    require(read([whole.passed[...]])?.passed == whole.passed, "what went on is read in the same way again")
    for event in eventsReadPlainly(whole.passed) where !event.data.isEmpty {
      let message = accepted(Array(event.data.utf8), limits: ToolCallAnswer.limits)
      if message["method"] == nil { requireSaid(message, by: whole.content) }
    }
  }
}

/// All texts of a result or an error are in the report.
private func requireSaid(_ message: JSONValue, by content: ToolResultContent?) {
  guard let content, !content.isTruncated else {
    require(content != nil, "a result is reported")
    return
  }
  let texts = (message["result"]?["content"]?.array ?? []).compactMap { item -> String? in
    item["type"] == "text" ? item["text"]?.string : item["resource"]?["text"]?.string
  }
  for text in texts + [message["error"]?["message"]?.string ?? ""] {
    require(Array(content.text.utf8).contains(Array(text.utf8)), "no text is missed")
  }
}
