import CASACore

/// Answers of the chat completions API.
public enum ChatCompletion {
  /// More calls than this in one answer are refused.
  public static let maximumCalls = 128
  public static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 64, maximumNodes: 200_000)

  /// The calls that an answer (`chat.completion`, not streamed) selects, over all its choices. An answer without
  /// choices, such as an error, selects none.
  /// - Throws: `ProtocolViolation` when it can't be read as the agent will read it.
  public static func selections(in body: [UInt8]) throws(ProtocolViolation) -> [ToolSelection] {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: body, limits: limits)
    } catch {
      throw ProtocolViolation(.llmResponseUnreadable, "the LLM's answer is not strict JSON: \(error)")
    }
    guard json.object != nil else {
      throw ProtocolViolation(.llmResponseUnreadable, "the LLM's answer is not a JSON object")
    }
    guard let choices = json["choices"]?.array else { return [] }
    var selections: [ToolSelection] = []
    var count = 0
    for choice in choices {
      for call in choice["message"]?["tool_calls"]?.array ?? [] {
        count += 1
        guard count <= maximumCalls else {
          throw ProtocolViolation(.llmResponseUnreadable, "the LLM selected more than \(maximumCalls) calls at once")
        }
        guard let function = call["function"], let name = function["name"]?.string else { continue }
        if let selection = ToolSelection(name: name, arguments: function["arguments"]?.string ?? "") {
          selections.append(selection)
        }
      }
    }
    return selections
  }
}
