import CASACore

/// One JSON-RPC message that a client sends to an agent over A2A (0.3 and 1.0).
public struct A2AMessage: Sendable {
  public let id: JSONRPCID
  public let method: String
  /// The text parts of the user's message, joined by line feeds; nil for methods that carry none.
  public let text: String?

  /// - Throws: `ProtocolViolation`
  public init(parsing body: [UInt8], limits: JSONLimits = .message) throws(ProtocolViolation) {
    let request = try A2ARequest(jsonRPC: body, limits: limits)
    guard let id = request.id else { throw A2AReading.malformed("A2A takes JSON-RPC requests only") }
    switch request.content {
    case .message(let message): text = message.text
    case .task: text = nil
    case .taskList, .card:
      throw ProtocolViolation(.methodNotAllowed, "this A2A method is not let through", requestID: id)
    }
    self.id = id
    method = request.operation
  }
}
