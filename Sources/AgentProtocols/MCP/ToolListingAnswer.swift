public import CASACore

/// An MCP server's answer to `tools/list`, on its way to the client: only tools that may be seen are left in it, and
/// only as they were approved. What goes on is written anew from what was read, so that the client reads nothing else.
///
/// Pure: fed with what arrives, it says what may go on.
public struct ToolListingAnswer: Sendable {
  public static let maximumBytes = 4 << 20

  /// A tool that was left out.
  public struct Withheld: Sendable, Hashable {
    public let tool: ToolName
    /// Whether the tool is one that may be seen, but not as the server described it now.
    public let isModified: Bool
  }

  private enum Form: Sendable {
    case document
    case events(ServerSentEventParser)
  }

  private let allowed: [ToolName: String]
  private var form: Form
  private var held: [UInt8] = []
  public private(set) var withheld: [Withheld] = []

  /// - Parameters:
  ///   - contentType: of the answer: `application/json` or `text/event-stream`.
  ///   - allowed: the tools that may be seen, with the digests of their approved definitions.
  /// - Throws: `ProtocolViolation` for another type, or an answer that is encoded.
  public init(
    contentType: String, contentEncoding: String?, allowed: [ToolName: String]
  ) throws(ProtocolViolation) {
    guard contentEncoding == nil || contentEncoding?.lowercased() == "identity" else {
      throw ProtocolViolation(.mcpResponseUnreadable, "the server's answer is compressed though nobody asked for it")
    }
    self.allowed = allowed
    if ContentType.isUTF8(contentType, of: "application/json") {
      form = .document
    } else if ContentType.isUTF8(contentType, of: "text/event-stream") {
      form = .events(ServerSentEventParser())
    } else {
      throw ProtocolViolation(
        .mcpResponseUnreadable, "the server's answer must be application/json or text/event-stream")
    }
  }

  /// - Returns: what may go on now.
  /// - Throws: `ProtocolViolation`; after one nothing further may go on.
  public mutating func feed(_ bytes: [UInt8], isLast: Bool) throws(ProtocolViolation) -> [UInt8] {
    switch form {
    case .document:
      guard held.count + bytes.count <= Self.maximumBytes else { throw Self.tooLarge }
      held += bytes
      guard isLast else { return [] }
      defer { held = [] }
      return try filtered(held)
    case .events(var parser):
      let events = try parser.feed(bytes)
      form = .events(parser)
      var output: [UInt8] = []
      for event in events {
        if event.name != "message" { output += Array("event: \(event.name)\n".utf8) }
        if let id = event.id { output += Array("id: \(id)\n".utf8) }
        // An event without data tells the client from where to go on.
        output += Array("data: ".utf8) + (event.data.isEmpty ? [] : try filtered(Array(event.data.utf8)))
        output += Array("\n\n".utf8)
      }
      return output
    }
  }

  private mutating func filtered(_ message: [UInt8]) throws(ProtocolViolation) -> [UInt8] {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: message, limits: Self.limits)
    } catch {
      throw ProtocolViolation(.mcpResponseUnreadable, "the server's answer is not strict JSON: \(error)")
    }
    guard var members = json.object, members["jsonrpc"] == "2.0" else {
      throw ProtocolViolation(.mcpResponseUnreadable, "the server's answer is not one JSON-RPC message")
    }
    if let method = members["method"]?.string {
      // A notification may come before the answer; a request of the server's own may not.
      guard members["id"] == nil, method.hasPrefix("notifications/") else {
        throw ProtocolViolation(.mcpResponseUnreadable, "the server asks something instead of answering")
      }
      return json.canonicalBytes
    }
    guard var result = members["result"]?.object else { return json.canonicalBytes }
    let listed = try MCPToolDefinition.parseList(.object(result)).tools
    guard let list = result["tools"]?.array else { return json.canonicalBytes }
    var shown: [JSONValue] = []
    for (tool, element) in zip(listed, list) {
      if allowed[tool.name] == tool.digest {
        shown.append(element)
      } else {
        withheld.append(Withheld(tool: tool.name, isModified: allowed[tool.name] != nil))
      }
    }
    result["tools"] = .array(shown)
    members["result"] = .object(result)
    return JSONValue.object(members).canonicalBytes
  }

  private static let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 64, maximumNodes: 200_000)
  private static let tooLarge = ProtocolViolation(
    .mcpResponseUnreadable, "the server's answer is larger than \(maximumBytes) bytes")
}
