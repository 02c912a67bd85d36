import CASACore

/// A request to an agent over A2A 0.3 or 1.0, by JSON-RPC or by HTTP and JSON.
public struct A2ARequest: Sendable, Hashable {
  public enum Content: Sendable, Hashable {
    case message(Message)
    /// Asks for, follows or cancels one task.
    case task(id: String)
    /// Lists tasks, of one context if it is given.
    case taskList(contextID: String?)
    /// The agent's card: the public one, or the extended one for callers the agent knows.
    case card(isExtended: Bool)
  }

  /// What the user says to the agent.
  public struct Message: Sendable, Hashable {
    /// The text parts, joined by line feeds; nil when there is none.
    public let text: String?
    public let contextID: String?
    /// Whether there are parts that are no text (files, links, data), which the text does not show.
    public let hasOtherParts: Bool
  }

  public let content: Content
  /// The operation by the name it was asked by: a method of JSON-RPC, or its 1.0 name.
  public let operation: String
  /// The id of the JSON-RPC request; nil with HTTP and JSON.
  public let id: JSONRPCID?

  /// The path of the public card, below an agent's origin.
  public static let cardPath = "/.well-known/agent-card.json"
  /// Of an id of a task or a context, in bytes.
  public static let maximumIDBytes = 256

  /// Reads a request.
  /// - Parameters:
  ///   - path: without the query, as it was sent.
  ///   - query: what follows the `?`; nil when there is none.
  ///   - basePath: where the agent takes JSON-RPC, and below which the paths of HTTP and JSON stand.
  ///   - contentType: the value of `Content-Type`; nil when it was not sent.
  /// - Throws: `ProtocolViolation` for an unknown operation, for one that is not let through (those of push
  ///   notifications, since the agent would call any address that they name) and for what two readers could read
  ///   differently.
  public init(
    method: String, path: String, query: String?, basePath: String, contentType: String?, body: [UInt8],
    limits: JSONLimits = .message
  ) throws(ProtocolViolation) {
    let base = basePath.hasSuffix("/") ? String(basePath.dropLast()) : basePath
    if method == "GET" {
      guard body.isEmpty else { throw A2AReading.malformed("GET has no body in A2A") }
      let isCard = haveSameBytes(path, Self.cardPath) || haveSameBytes(path, base + Self.cardPath)
      guard !isCard || query == nil else { throw A2AReading.malformed("the agent card takes no query") }
      let (operation, content) =
        isCard
        ? ("GetAgentCard", .card(isExtended: false)) : try A2AReading.get(path: path, query: query, base: base)
      self.init(content, operation: operation, id: nil)
      return
    }
    guard method == "POST", query == nil else {
      throw ProtocolViolation(.protocolNotAllowed, "A2A uses POST without a query, and GET")
    }
    let type = contentType ?? ""
    if haveSameBytes(path, base) || haveSameBytes(path, basePath) {
      guard ContentType.isUTF8(type, of: "application/json") else { throw A2AReading.wrongContentType }
      try self.init(jsonRPC: body, limits: limits)
      return
    }
    guard
      ContentType.isUTF8(type, of: "application/json") || ContentType.isUTF8(type, of: "application/a2a+json")
        || (type.isEmpty && body.isEmpty)
    else { throw A2AReading.wrongContentType }
    let (operation, content) = try A2AReading.post(path: path, body: body, base: base, limits: limits)
    self.init(content, operation: operation, id: nil)
  }

  /// Whether a path could be one of an agent's.
  public static func isBelow(_ basePath: String, _ path: String) -> Bool {
    let base = basePath.hasSuffix("/") ? String(basePath.dropLast()) : basePath
    return haveSameBytes(path, cardPath) || haveSameBytes(path, base) || path.utf8.starts(with: (base + "/").utf8)
  }

  /// Reads the body of a request by JSON-RPC.
  /// - Throws: `ProtocolViolation`, as the other initialiser.
  public init(jsonRPC body: [UInt8], limits: JSONLimits = .message) throws(ProtocolViolation) {
    guard case .request(let id, let method, let params) = try JSONRPCMessage(parsing: body, limits: limits) else {
      throw A2AReading.malformed("A2A takes JSON-RPC requests only")
    }
    let content: Content
    do throws(ProtocolViolation) {
      content = try A2AReading.content(method: method, params: params)
    } catch {
      throw ProtocolViolation(error.reason, error.detail, requestID: id)
    }
    self.init(content, operation: method, id: id)
  }

  private init(_ content: Content, operation: String, id: JSONRPCID?) {
    self.content = content
    self.operation = operation
    self.id = id
  }
}
