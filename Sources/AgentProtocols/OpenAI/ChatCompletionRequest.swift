import CASACore

/// The body of a request to the chat completions API, as far as it matters whose words it carries.
public struct ChatCompletionRequest: Sendable, Hashable {
  public enum Role: String, Sendable, Hashable, CaseIterable {
    case system, developer, user, assistant, tool, function
  }

  public struct Message: Sendable, Hashable {
    public let role: Role
    /// The content when it is one text, else the text of each text part, in order.
    public let texts: [String]
  }

  /// At least one.
  public let messages: [Message]

  /// Every text of every message, in order.
  public var texts: [String] { messages.flatMap(\.texts) }

  /// - Throws: `ProtocolViolation` for what is no such request and for what two readers could read differently.
  public init(parsing body: [UInt8], limits: JSONLimits = .message) throws(ProtocolViolation) {
    let json = try JSONValue(body: body, limits: limits)
    guard let members = json.object, members["model"]?.string?.isEmpty == false,
      let list = members["messages"]?.array, !list.isEmpty
    else {
      throw ProtocolViolation(
        .protocolNotAllowed, "the body is not a chat completion request: `model` and `messages` are expected")
    }
    try Self.refuseLookAlikes(in: members, of: ["model", "messages", "stream"])
    switch members["stream"] {
    case nil, .null, .bool: break
    default: throw Self.malformed("`stream` must be true or false")
    }
    var messages: [Message] = []
    for element in list { messages.append(try Self.message(element)) }
    self.messages = messages
  }

  private static func message(_ json: JSONValue) throws(ProtocolViolation) -> Message {
    guard let members = json.object else { throw malformed("a message must be an object") }
    try refuseLookAlikes(in: members, of: ["role", "content"])
    guard
      let role = members["role"]?.string.flatMap({ text in Role.allCases.first { haveSameBytes($0.rawValue, text) } })
    else {
      throw malformed("a message's `role` must be one of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    switch members["content"] {
    case .string(let text): return Message(role: role, texts: [text])
    case .array(let parts):
      var texts: [String] = []
      for part in parts { if let text = try self.text(of: part) { texts.append(text) } }
      return Message(role: role, texts: texts)
    // Only an assistant may say nothing, when it calls tools.
    case nil where role == .assistant, .null where role == .assistant: return Message(role: role, texts: [])
    default: throw malformed("a message's `content` must be a text or an array of parts")
    }
  }

  /// The text of a text part; nil for the other kinds of parts, which have none.
  private static func text(of part: JSONValue) throws(ProtocolViolation) -> String? {
    guard let members = part.object, let type = members["type"]?.string else {
      throw malformed("a part of a message's content must be an object with a `type`")
    }
    try refuseLookAlikes(in: members, of: ["type", "text"])
    if type == "text" {
      guard let text = members["text"]?.string else { throw malformed("a part of type text must have a `text`") }
      return text
    }
    guard ["image_url", "input_audio", "file", "refusal"].contains(type), members["text"] == nil else {
      throw malformed("a part of a message's content is of an unknown type, or has a `text` that its type has not")
    }
    return nil
  }

  private static func refuseLookAlikes(
    in members: [String: JSONValue], of names: Set<String>
  ) throws(ProtocolViolation) {
    guard members.lookAlike(of: names) == nil else {
      throw malformed("a name of an object differs only in the case of letters from one that the API has")
    }
  }

  private static func malformed(_ detail: String) -> ProtocolViolation { ProtocolViolation(.malformedRequest, detail) }
}
