import CASACore

/// An MCP server's answer to `tools/call`, on its way to the client, which gets it when it has been reported.
///
/// Pure: fed with what arrives, it says what to do. An answer in JSON is held to its end. Of an event stream the
/// notifications before the result (progress, log messages) go on at once, and what they say counts with the result. A
/// server's own request is held with all that follows: the client acts on it, and through CASA it can't answer anyway.
/// Behind the result nothing goes on.
public struct ToolCallAnswer: Sendable {
  public enum Step: Sendable, Hashable {
    /// Let these bytes go (an empty list holds everything back for now).
    case release([UInt8])
    /// Report what was said first, then let the bytes go.
    case report(ToolResultContent, thenRelease: [UInt8])
  }

  /// Of a whole answer in JSON, of one event, and of all events that are held.
  public static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 64, maximumNodes: 200_000)

  private enum Format: Sendable {
    case json([UInt8])
    case eventStream(ServerSentEventParser, held: [UInt8], holds: Bool)
    /// An answer with an error status, whose body can be anything.
    case failure([UInt8])
    /// All that may go on has gone.
    case ended
  }

  private var format: Format
  private let requestID: JSONRPCID
  private let isStream: Bool
  /// What was said before the result.
  private var beside = ToolResultContent()

  /// - Parameters:
  ///   - contentType: of the answer: `application/json` or `text/event-stream`; anything with an error status.
  ///   - requestID: the request's id, which the answer must bear.
  /// - Throws: `ProtocolViolation` for another content type, and for a compressed answer.
  public init(
    status: Int, contentType: String, contentEncoding: String?, requestID: JSONRPCID
  ) throws(ProtocolViolation) {
    guard ContentEncoding.isIdentity(contentEncoding) else {
      throw Self.unreadable("it is compressed though nobody asked for it")
    }
    self.requestID = requestID
    isStream = (200..<300).contains(status) && ContentType.isUTF8(contentType, of: "text/event-stream")
    if !(200..<300).contains(status) {
      format = .failure([])
    } else if isStream {
      format = .eventStream(
        ServerSentEventParser(maximumEventBytes: Self.limits.maximumBytes), held: [], holds: false)
    } else if ContentType.isUTF8(contentType, of: "application/json") {
      format = .json([])
    } else {
      throw Self.unreadable("it must be application/json or text/event-stream, in UTF-8")
    }
  }

  /// Takes more of the answer.
  /// - Throws: `ProtocolViolation`; nothing more goes on then.
  public mutating func feed(_ bytes: some Collection<UInt8>, isLast: Bool) throws(ProtocolViolation) -> Step {
    let current = format
    // Taken out, so that the bytes in it are not copied, and so that a refusal is final.
    format = .ended
    do {
      switch current {
      case .ended: return .release([])
      case .json(var held):
        try Self.hold(bytes, in: &held)
        guard !isLast else { return .report(try content(of: try Self.parse(held)), thenRelease: held) }
        format = .json(held)
        return .release([])
      case .failure(var held):
        try Self.hold(bytes, in: &held)
        guard !isLast else { return held.isEmpty ? .release([]) : .report(contentOfFailure(held), thenRelease: held) }
        format = .failure(held)
        return .release([])
      case .eventStream(var parser, var held, var holds):
        // Line by line, so that nothing behind the result is looked at, wherever the bytes are divided.
        var rest = bytes[...]
        while !rest.isEmpty {
          let end = rest.firstIndex { $0 == 0x0A || $0 == 0x0D }.map { rest.index(after: $0) } ?? rest.endIndex
          for event in try parser.feed(rest[..<end]) {
            try Self.hold(try event.lines(), in: &held)
            // An event without data only sets the id from which the stream can be resumed.
            guard !event.data.isEmpty else { continue }
            let json = try Self.parse(Array(event.data.utf8))
            switch try JSONRPCMessage(json) {
            case .notification(_, let params): beside.append(messageWith: params)
            case .request(_, _, let params):
              beside.append(messageWith: params)
              holds = true
            case .response: return .report(try content(of: json), thenRelease: held)
            }
          }
          rest = rest[end...]
        }
        if isLast { return beside.isEmpty ? .release(held) : .report(beside, thenRelease: held) }
        let released = holds ? [] : held
        format = .eventStream(parser, held: holds ? held : [], holds: holds)
        // So that whoever waits for a slow tool sees that the stream is alive, as comments of the server would show.
        return .release(released.isEmpty && !bytes.isEmpty ? Self.comment : released)
      }
    } catch {
      throw error.reason == .mcpResponseUnreadable ? error : Self.unreadable(error.detail)
    }
  }

  /// Ends the answer, whose head has left.
  /// - Parameter refusal: a JSON text that stands in the place of what is not let through.
  /// - Returns: what goes on to the client, in the form in which it reads the answer.
  public mutating func end(with refusal: String) -> [UInt8] {
    format = .ended
    return isStream ? ServerSentEvent.lines(ofJSON: refusal) : Array(refusal.utf8)
  }

  private static let comment = Array(":\n\n".utf8)

  private static func hold(_ bytes: some Collection<UInt8>, in held: inout [UInt8]) throws(ProtocolViolation) {
    guard held.count + bytes.count <= limits.maximumBytes else {
      throw unreadable("it is larger than \(limits.maximumBytes) bytes")
    }
    held += bytes
  }

  private static func parse(_ bytes: [UInt8]) throws(ProtocolViolation) -> JSONValue {
    try JSONValue(body: bytes, limits: limits)
  }

  /// What an answer says, the result first.
  private func content(of json: JSONValue) throws(ProtocolViolation) -> ToolResultContent {
    guard case .response = try JSONRPCMessage(json), let members = json.object else {
      throw Self.unreadable("it is no answer of JSON-RPC")
    }
    // Only an error that a server could assign to no request has no id.
    guard members["id"].map({ JSONRPCID($0) == requestID }) ?? (members["error"] != nil) else {
      throw Self.unreadable("its `id` is not the request's")
    }
    var content = ToolResultContent()
    try content.append(answer: members)
    content.append(beside)
    return content
  }

  private func contentOfFailure(_ body: [UInt8]) -> ToolResultContent {
    if let json = try? Self.parse(body), let content = try? content(of: json) { return content }
    var content = ToolResultContent()
    content.append(String(decoding: body, as: UTF8.self))
    return content
  }

  private static func unreadable(_ detail: String) -> ProtocolViolation {
    ProtocolViolation(.mcpResponseUnreadable, "the MCP server's answer can't be read: " + detail)
  }
}
