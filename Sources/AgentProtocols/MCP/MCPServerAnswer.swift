public import CASACore

/// What an MCP server says to anything but `tools/call`, on its way to the client: of a listing only tools as they were
/// approved go on, and nothing that answers another request than this one.
///
/// What goes on is written anew from what was checked, so the client reads nothing else. Of a listing only the members
/// that MCP gives it are left, so that it is no tool's result as well. A tool's `_meta`, which its digest does not
/// cover, is left out, and so are the `instructions` of `initialize`, which hosts put before the model and nobody
/// approved.
public struct MCPServerAnswer: Sendable {
  /// What was asked.
  public enum Question: Sendable {
    /// `tools/list`, with the digest (`MCPToolDefinition.digest`) of each tool that the client may see.
    case toolListing(allowed: [ToolName: String])
    /// Something else.
    case other
    /// Nothing: the server may notify.
    case nothing
  }

  /// A tool that the client does not get to see.
  public struct Withheld: Sendable, Hashable {
    public enum Cause: Sendable, Hashable {
      /// No tool of this name is allowed.
      case unknown
      /// It is allowed with another definition.
      case changed
    }
    public let tool: ToolName
    public let cause: Cause
  }

  /// Of a whole answer in JSON, or of one event.
  public static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 64, maximumNodes: 200_000)

  /// What a server may tell on the stream besides its answer.
  private static let notifications: Set<String> = [
    "notifications/progress", "notifications/message", "notifications/cancelled",
    "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed",
  ]

  private enum Format: Sendable {
    case json(received: [UInt8])
    case eventStream(ServerSentEventParser)
    /// An answer with an error status, whose body can be anything.
    case failure(received: [UInt8])
    /// It says that a message was taken (202), to which nothing belongs: there are clients that read what comes with
    /// it.
    case taken
    /// Ended, or refused.
    case closed
  }

  private var format: Format
  private let question: Question
  private let requestID: JSONRPCID?
  private let isStream: Bool
  private var isAnswered = false
  /// What was left out so far, in the server's order.
  public private(set) var withheld: [Withheld] = []

  /// - Parameters:
  ///   - contentType: of the answer: `application/json` or `text/event-stream`; anything with an error status or 202.
  ///   - requestID: the request's id, which the answer must bear; nil when it is not known.
  /// - Throws: `ProtocolViolation` for another content type.
  public init(
    status: Int = 200, contentType: String, to question: Question, requestID: JSONRPCID?
  ) throws(ProtocolViolation) {
    isStream = (200..<300).contains(status) && ContentType.isUTF8(contentType, of: "text/event-stream")
    if status == 202 {
      format = .taken
    } else if !(200..<300).contains(status) {
      format = .failure(received: [])
    } else if isStream {
      format = .eventStream(ServerSentEventParser(maximumEventBytes: Self.limits.maximumBytes))
    } else if ContentType.isUTF8(contentType, of: "application/json") {
      format = .json(received: [])
    } else {
      throw Self.malformed("the answer must be application/json or text/event-stream, in UTF-8")
    }
    self.requestID = requestID
    self.question = question
  }

  /// Takes more of the answer.
  /// - Returns: what may go on to the client; an event or a JSON text goes on when all of it has come.
  /// - Throws: `ProtocolViolation`; nothing more may go on then, and every later call throws too.
  public mutating func feed(_ bytes: some Collection<UInt8>, isLast: Bool) throws(ProtocolViolation) -> [UInt8] {
    let current = format
    // Taken out, so that the bytes in it are not copied, and so that a refusal is final.
    format = .closed
    switch current {
    case .closed: throw Self.malformed("the answer goes on after its end")
    case .json(var received):
      try Self.hold(bytes, in: &received)
      guard isLast else {
        format = .json(received: received)
        return []
      }
      return try filtered(try Self.parse(received)).canonicalBytes
    case .failure(var received):
      try Self.hold(bytes, in: &received)
      guard isLast else {
        format = .failure(received: received)
        return []
      }
      return isHarmlessFailure(received) ? received : []
    case .taken:
      if !isLast { format = .taken }
      return []
    case .eventStream(var parser):
      var output: [UInt8] = []
      for event in try parser.feed(bytes) { output += try filtered(event) }
      // Readers discard an event that the end of the stream cuts off.
      if !isLast { format = .eventStream(parser) }
      return output
    }
  }

  private static func hold(_ bytes: some Collection<UInt8>, in received: inout [UInt8]) throws(ProtocolViolation) {
    guard received.count + bytes.count <= limits.maximumBytes else {
      throw ProtocolViolation(.bodyTooLarge, "the answer is larger than \(limits.maximumBytes) bytes")
    }
    received += bytes
  }

  /// Whether no client can take the body of a failure for a result, or for the answer to another request: it is no
  /// JSON, or not JSON-RPC, or an error that bears this request's id or none.
  private func isHarmlessFailure(_ body: [UInt8]) -> Bool {
    guard let first = body.first(where: { !" \t\r\n".utf8.contains($0) }), "{[".utf8.contains(first) else {
      // By bytes: as text, it could take long to search.
      let word = Array("jsonrpc".utf8)
      return !body.indices.contains { body[$0...].starts(with: word) }
    }
    // There are clients that take a result with any status, and without `jsonrpc`.
    guard let members = (try? Self.parse(body))?.object,
      members.lookAlike(of: ["jsonrpc", "id", "result", "method"]) == nil, members["result"] == nil
    else { return false }
    guard members["jsonrpc"] != nil else { return true }
    guard members["error"] != nil, members["method"] == nil else { return false }
    guard let id = members["id"], id != .null else { return true }
    return requestID != nil && JSONRPCID(id) == requestID
  }

  private static func parse(_ bytes: [UInt8]) throws(ProtocolViolation) -> JSONValue {
    try JSONValue(body: bytes, limits: limits)
  }

  private mutating func filtered(_ event: ServerSentEvent) throws(ProtocolViolation) -> [UInt8] {
    var event = event
    // An event without data only sets the id from which the stream can be resumed.
    if !event.data.isEmpty { event.data = try filtered(try Self.parse(Array(event.data.utf8))).canonicalText }
    return try event.lines()
  }

  private mutating func filtered(_ json: JSONValue) throws(ProtocolViolation) -> JSONValue {
    switch try JSONRPCMessage(json) {
    case .request:
      throw ProtocolViolation(
        .methodNotAllowed, "a server's own requests (sampling, elicitation, roots) are not let through")
    case .notification(let method, _):
      guard isStream, Self.notifications.contains(method) else {
        throw ProtocolViolation(.methodNotAllowed, "this notification of a server is not let through")
      }
      return json
    case .response:
      guard var members = json.object, !isAnswered else { throw Self.malformed("there is more than one answer") }
      isAnswered = true
      guard requestID == nil || members["id"].flatMap({ JSONRPCID($0) }) == requestID else {
        throw Self.malformed("the answer's `id` is not the request's")
      }
      let result = members["result"]
      switch question {
      case .nothing: throw Self.malformed("an answer stands where nothing was asked")
      case .toolListing(let allowed):
        // An error of a request that is not known could stand in for a tool's result.
        guard requestID != nil || result != nil else { throw Self.malformed("an error answers no known request") }
        if let result { members["result"] = try filteredListing(result, allowed: allowed) }
      case .other:
        if let object = result?.object {
          members["result"] = .object(object.filter { $0.key.withoutCase != "instructions" })
        }
      }
      return .object(members)
    }
  }

  private mutating func filteredListing(
    _ result: JSONValue, allowed: [ToolName: String]
  ) throws(ProtocolViolation) -> JSONValue {
    guard let members = result.object else { throw Self.malformed("the answer's `result` must be an object") }
    guard members.lookAlike(of: ["tools"]) == nil else {
      throw Self.malformed("a name differs only in the case of letters from `tools`")
    }
    var tools: [JSONValue] = []
    for tool in try MCPToolDefinition.parseList(result).tools {
      switch allowed[tool.name] {
      case tool.digest: tools.append(tool.definition)
      case nil: withheld.append(Withheld(tool: tool.name, cause: .unknown))
      default: withheld.append(Withheld(tool: tool.name, cause: .changed))
      }
    }
    var listing = members.filter { Self.belongsToListing($0.key, $0.value) }
    listing["tools"] = .array(tools)
    return .object(listing)
  }

  /// What a listing says besides its tools, in any revision up to 2026-07-28. What else it holds could be read as a
  /// tool's result, which nobody would have checked.
  private static func belongsToListing(_ name: String, _ value: JSONValue) -> Bool {
    switch (name, value) {
    case ("nextCursor", .string), ("ttlMs", .number), ("_meta", .object): true
    case ("cacheScope", .string(let scope)): scope == "public" || scope == "private"
    case ("resultType", .string(let type)): type == "complete"
    default: false
    }
  }

  private static func malformed(_ detail: String) -> ProtocolViolation { ProtocolViolation(.malformedRequest, detail) }
}
