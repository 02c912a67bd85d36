import AgentProtocols
import CASACore
import Crypto

/// The id that an MCP server gave a client's session (`Mcp-Session-Id`), by its SHA-256: the id itself is a secret
/// between the two.
public struct MCPSessionID: Sendable, Hashable {
  public let digest: String

  init(_ id: String) { digest = textDigest(id) }

  /// nil for anything but 64 lowercase hexadecimal digits.
  public init?(digest: String) {
    guard let hash = TokenHash(digest) else { return nil }
    self.digest = hash.text
  }
}

/// A request to an MCP server over Streamable HTTP, in whichever direction it passes.
struct MCPRequest {
  /// nil for GET and DELETE.
  let message: MCPMessage?
  let session: MCPSessionID?
  /// Whether it wants the rest of an earlier stream (`Last-Event-ID`).
  let resumes: Bool

  init(_ request: InterceptedRequest, path: String, record: inout RequestRecord) throws(Refusal) {
    guard request.path == path, !request.hasQuery else {
      throw .onlyOpen(path)
    }
    switch request.method {
    case "POST":
      let parsed = try Self.message(request)
      message = parsed
      record.method = parsed.method
      record.requestID = parsed.id
      if case .toolCall(_, let tool, _) = parsed.content { record.tool = tool }
    case "GET", "DELETE":
      try request.refuseBody()
      message = nil
      record.method = request.method
    default: throw Refusal(.protocolNotAllowed, "MCP uses POST, GET and DELETE")
    }
    if let id = try request.single("mcp-session-id") {
      guard (1...256).contains(id.utf8.count), id.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw Refusal(.malformedRequest, "`mcp-session-id` must be 1 to 256 visible ASCII characters")
      }
      session = MCPSessionID(id)
    } else {
      session = nil
    }
    resumes = try request.single("last-event-id") != nil
  }

  private static func message(_ request: InterceptedRequest) throws(Refusal) -> MCPMessage {
    let body = try request.jsonBody()
    let method = try request.single("mcp-method")
    let name = try request.single("mcp-name")
    let revision = try request.single("mcp-protocol-version")
    return try refusingViolations { () throws(ProtocolViolation) in
      try MCPMessage(parsing: body, methodHeader: method, nameHeader: name, revisionHeader: revision)
    }
  }
}

extension Refusal {
  static func notLetThrough(_ method: MCPMethod) -> Refusal {
    Refusal(.methodNotAllowed, "\(method.name) is not let through")
  }
}
