import AgentProtocols
import CASACore

/// A request to an agent, in whichever direction it passes: A2A, or an API of the agent's own in which the user's
/// words stand at a configured path.
struct AgentCall {
  /// The user's words; nil for a request that carries none.
  let text: String?
  let contextID: String?
  /// Whether the message has files or data beside its text, which nobody compares with anything.
  let hasOtherParts: Bool
  /// Whether the agent's public card is asked for, before anything is asked of the agent.
  let isCard: Bool

  init(
    _ request: InterceptedRequest, path: String, promptPath: JSONPath?, record: inout RequestRecord
  ) throws(Refusal) {
    if let promptPath {
      record.method = request.method
      text = try Self.prompt(in: request, path: path, at: promptPath)
      (contextID, hasOtherParts, isCard) = (nil, false, false)
      return
    }
    try request.refuseEncodedBody()
    let type = try request.single("content-type")
    let message = try refusingViolations { () throws(ProtocolViolation) in
      try A2ARequest(
        method: request.method, path: request.path, query: request.query, basePath: path, contentType: type,
        body: request.body)
    }
    record.method = message.operation
    record.requestID = message.id
    switch message.content {
    case .message(let message): (text, contextID, isCard) = (message.text, message.contextID, false)
    case .task: (text, contextID, isCard) = (nil, nil, false)
    case .taskList(let context): (text, contextID, isCard) = (nil, context, false)
    case .card(let isExtended): (text, contextID, isCard) = (nil, nil, !isExtended)
    }
    hasOtherParts = if case .message(let message) = message.content { message.hasOtherParts } else { false }
  }

  private static func prompt(
    in request: InterceptedRequest, path: String, at promptPath: JSONPath
  ) throws(Refusal) -> String {
    guard request.path == path, !request.hasQuery else { throw .onlyOpen(path) }
    guard request.method == "POST" else { throw Refusal(.protocolNotAllowed, "an agent's own API takes POST") }
    let body = try request.jsonBody()
    let json = try refusingViolations { () throws(ProtocolViolation) in try JSONValue(body: body) }
    guard let text = promptPath.value(in: json)?.string else {
      throw Refusal(
        .userInputMissing, "the body must have a text at \(promptPath.text), where the user's input is expected")
    }
    return text
  }
}

extension Refusal {
  /// What a client sends is the user's input, of which the whole is compared with what the session began with.
  static let userInputIsText = Refusal(
    .userInputMismatch, "a client's message may hold text only: files and data are nothing that calls are judged by")

  static func onlyOpen(_ path: String) -> Refusal {
    Refusal(.protocolNotAllowed, "only \(path) is open, without a query")
  }
}
