import CASACore

/// One JSON-RPC message that a client sends to an agent over A2A (0.3 and 1.0).
public struct A2AMessage: Sendable {
  public let id: JSONRPCID
  public let method: String
  /// The text parts of the user's message, joined by line feeds; nil for methods that carry none.
  public let text: String?

  private static let sending: Set<String> = ["message/send", "message/stream", "SendMessage", "SendStreamingMessage"]
  private static let others: Set<String> = [
    "tasks/get", "tasks/cancel", "tasks/resubscribe", "GetTask", "CancelTask", "SubscribeToTask",
  ]

  /// - Throws: `ProtocolViolation`
  public init(parsing body: [UInt8], limits: JSONLimits = .message) throws(ProtocolViolation) {
    guard case .request(let id, let method, let params) = try JSONRPCMessage(parsing: body, limits: limits) else {
      throw ProtocolViolation(.malformedRequest, "A2A takes JSON-RPC requests only")
    }
    self.id = id
    self.method = method
    if Self.others.contains(method) {
      text = nil
      return
    }
    guard Self.sending.contains(method) else {
      throw ProtocolViolation(.methodNotAllowed, "this A2A method is not let through", requestID: id)
    }
    guard let message = params["message"], message["role"]?.string == "user" || message["role"]?.string == "ROLE_USER",
      let parts = message["parts"]?.array, !parts.isEmpty
    else {
      throw ProtocolViolation(
        .malformedRequest, "`message` must have the role of the user and at least one part", requestID: id)
    }
    let texts = parts.compactMap { $0["text"]?.string }
    text = texts.isEmpty ? nil : texts.joined(separator: "\n")
  }
}
