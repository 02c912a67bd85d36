import CASACore

/// Puts the calls of a streamed answer (`chat.completion.chunk` events) together again.
public struct ChatCompletionStream: Sendable {
  private struct Key: Hashable {
    let choice: Int64
    let call: Int64
  }

  private struct Partial {
    var name = ""
    var arguments = ""
  }

  /// All of the arguments of all calls, in bytes.
  public static let maximumBytes = 4 << 20

  private var parser = ServerSentEventParser()
  private var partials: [Key: Partial] = [:]
  private var order: [Key] = []
  private var bytes = 0
  /// Whether the stream said that it is done.
  public private(set) var isDone = false

  /// How many calls have begun, complete or not.
  public var callCount: Int { order.count }

  public init() {}

  /// - Throws: `ProtocolViolation` when an event can't be read as the agent will read it.
  public mutating func feed(_ chunk: some Sequence<UInt8>) throws(ProtocolViolation) {
    for event in try parser.feed(chunk) {
      // By bytes: what no JSON parser has read may hold any number of combining marks (`CombiningMarks`).
      if haveSameBytes(event.data, "[DONE]") {
        isDone = true
        continue
      }
      let json: JSONValue
      do {
        json = try JSONValue(parsing: event.data)
      } catch {
        throw ProtocolViolation(.llmResponseUnreadable, "an event of the LLM's answer is not strict JSON: \(error)")
      }
      for choice in json["choices"]?.array ?? [] { try take(choice) }
    }
  }

  private mutating func take(_ choice: JSONValue) throws(ProtocolViolation) {
    let index = choice["index"]?.integer ?? 0
    for call in choice["delta"]?["tool_calls"]?.array ?? [] {
      // Also when both came at once: what a reader sees who stops at the end must not depend on how bytes arrive.
      guard !isDone else {
        throw ProtocolViolation(.llmResponseUnreadable, "the LLM selected more after it said that it was done")
      }
      guard let position = call["index"]?.integer else {
        throw ProtocolViolation(.llmResponseUnreadable, "a streamed tool call has no index")
      }
      let key = Key(choice: index, call: position)
      if partials[key] == nil {
        guard order.count < ChatCompletion.maximumCalls else {
          throw ProtocolViolation(
            .llmResponseUnreadable, "the LLM selected more than \(ChatCompletion.maximumCalls) calls at once")
        }
        order.append(key)
      }
      let name = call["function"]?["name"]?.string ?? ""
      let arguments = call["function"]?["arguments"]?.string ?? ""
      bytes += name.utf8.count + arguments.utf8.count
      guard bytes <= Self.maximumBytes else {
        throw ProtocolViolation(.llmResponseUnreadable, "the LLM's tool calls exceed \(Self.maximumBytes) bytes")
      }
      partials[key, default: Partial()].name += name
      partials[key, default: Partial()].arguments += arguments
    }
  }

  /// What the answer selected, in the order in which the calls began.
  public func selections() -> [ToolSelection] {
    order.compactMap { key in
      partials[key].flatMap { ToolSelection(name: $0.name, arguments: $0.arguments) }
    }
  }
}
