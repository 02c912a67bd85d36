public import CASACore

/// One message that a client sends to an MCP server over Streamable HTTP.
public struct MCPMessage: Sendable {
  public enum Content: Sendable {
    case toolCall(id: JSONRPCID, tool: ToolName, arguments: [String: JSONValue])
    case toolListing(id: JSONRPCID)
    /// `id` is nil for a notification.
    case lifecycle(id: JSONRPCID?, method: MCPMethod)
    case restricted(id: JSONRPCID?, method: MCPMethod)
  }

  public let content: Content
  /// `params._meta.traceparent`, unparsed.
  public let traceParent: String?

  /// The request's id, for the answer.
  public var id: JSONRPCID? {
    switch content {
    case .toolCall(let id, _, _), .toolListing(let id): id
    case .lifecycle(let id, _), .restricted(let id, _): id
    }
  }

  public var method: String {
    switch content {
    case .toolCall: "tools/call"
    case .toolListing: "tools/list"
    case .lifecycle(_, let method), .restricted(_, let method): method.name
    }
  }

  /// - Parameters:
  ///   - methodHeader: the value of `Mcp-Method`, with which revision 2026-07-28 mirrors the body's method; a
  ///     server may route by either, so they must agree.
  ///   - nameHeader: the value of `Mcp-Name`, the same for the tool's name.
  ///   - revisionHeader: the value of `MCP-Protocol-Version`, which must name a known revision when it is sent.
  /// - Throws: `ProtocolViolation`
  public init(
    parsing body: [UInt8], methodHeader: String?, nameHeader: String?, revisionHeader: String?,
    limits: JSONLimits = .message
  ) throws(ProtocolViolation) {
    let id: JSONRPCID?
    let name: String
    let params: [String: JSONValue]
    switch try JSONRPCMessage(parsing: body, limits: limits) {
    case .request(let requestID, let method, let parameters): (id, name, params) = (requestID, method, parameters)
    case .notification(let method, let parameters): (id, name, params) = (nil, method, parameters)
    case .response:
      throw ProtocolViolation(
        .methodNotAllowed, "answers to a server's own requests (sampling, elicitation, roots) are not let through")
    }
    guard let method = MCPMethod(name) else {
      throw ProtocolViolation(.methodNotAllowed, "MCP has no method of this name for clients", requestID: id)
    }
    func malformed(_ detail: String) -> ProtocolViolation {
      ProtocolViolation(.malformedRequest, detail, requestID: id)
    }
    guard method.isNotification == (id == nil) else {
      throw malformed(method.isNotification ? "a notification has no `id`" : "\(name) is a request and needs an `id`")
    }
    guard methodHeader.map({ haveSameBytes($0, name) }) ?? true else {
      throw malformed("the header `Mcp-Method` differs from the body's method")
    }
    let revision = revisionHeader.flatMap { MCPRevision($0) }
    guard (revisionHeader == nil) == (revision == nil) else {
      throw malformed("the header `MCP-Protocol-Version` names no known revision")
    }
    if let meta = params["_meta"] {
      guard meta.object != nil else { throw malformed("`_meta` must be an object") }
      if let claimed = meta[MCPRevision.metaKey] {
        guard let named = claimed.string.flatMap({ MCPRevision($0) }), revision == nil || revision == named else {
          throw malformed("`_meta` names an unknown revision, or another than the header `MCP-Protocol-Version`")
        }
      }
      traceParent = meta["traceparent"]?.string
    } else {
      traceParent = nil
    }
    if name == "initialize" {
      // Any revision: the client offers the newest it knows, and the server answers with one that both know.
      guard let offered = params["protocolVersion"]?.string, (1...64).contains(offered.utf8.count) else {
        throw malformed("initialize must offer a `protocolVersion`")
      }
    }
    switch (method.methodClass, id) {
    case (.toolCall, let id?):
      guard Set(params.keys).isSubset(of: ["name", "arguments", "_meta"]) else {
        throw malformed("tools/call takes `name`, `arguments` and `_meta` only")
      }
      guard let tool = params["name"]?.string.flatMap({ ToolName($0) }) else {
        throw malformed("`name` must be a tool's name: 1 to 128 of A-Z a-z 0-9 _ - . /")
      }
      // By bytes: Swift's own comparison takes some other characters for ASCII ones.
      guard nameHeader.map({ haveSameBytes($0, tool.text) }) ?? true else {
        throw malformed("the header `Mcp-Name` differs from the body's tool")
      }
      switch params["arguments"] {
      case nil: content = .toolCall(id: id, tool: tool, arguments: [:])
      case .object(let arguments): content = .toolCall(id: id, tool: tool, arguments: arguments)
      default: throw malformed("`arguments` must be an object")
      }
    case (.toolListing, let id?): content = .toolListing(id: id)
    case (.lifecycle, let id): content = .lifecycle(id: id, method: method)
    default: content = .restricted(id: id, method: method)
    }
  }
}
