import AgentProtocols
import CASACore

/// A request to an agent, in whichever direction it passes: A2A, or an API of the agent's own in which the user's
/// words stand at a configured path.
struct AgentCall {
  let text: String?
  let contextID: String?

  init(
    _ request: InterceptedRequest, path: String, promptPath: JSONPath?, record: inout RequestRecord
  ) throws(Refusal) {
    guard request.path == path, !request.hasQuery else {
      throw Refusal(.protocolNotAllowed, "only \(path) is open, without a query")
    }
    guard request.method == "POST" else { throw Refusal(.protocolNotAllowed, "A2A uses POST") }
    let body = try request.jsonBody()
    if let promptPath {
      record.method = request.method
      let json: JSONValue
      do {
        json = try JSONValue(parsing: body)
      } catch {
        throw Refusal(unreadable: error)
      }
      guard let text = promptPath.value(in: json)?.string else {
        throw Refusal(.userInputMissing, "the body has no text where the user's input is expected")
      }
      (self.text, contextID) = (text, nil)
      return
    }
    do {
      let message = try A2AMessage(parsing: body)
      record.method = message.method
      record.requestID = message.id
      (text, contextID) = (message.text, nil)
    } catch {
      throw Refusal(error)
    }
  }
}

extension Refusal {
  init(unreadable error: JSONSyntaxError) {
    self.init(
      error.problem == .tooLarge ? .bodyTooLarge : .malformedRequest, "the body is not strict JSON: \(error)")
  }
}
