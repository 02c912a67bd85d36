import CASACore

/// What a tool's result says, as text: all that an agent or its LLM can read in it.
///
/// Text stands as it is; whatever else there is, known or not, as JSON, so that nothing said in an unexpected place is
/// missed. Only bytes that are no text (images, audio, blobs) are left out, and named.
public struct ToolResultContent: Sendable, Hashable {
  /// Longer text is cut.
  public static let maximumBytes = 256 << 10
  /// More kinds of content that was not read are not named.
  public static let maximumUnread = 16

  /// The parts, each on lines of its own.
  public private(set) var text = ""
  public private(set) var isTruncated = false
  /// What kinds of content were not read, each once: `image`, `audio`, `blob`, or a type that MCP does not know.
  public private(set) var unread: [String] = []

  public init() {}

  /// Whether nothing was said.
  public var isEmpty: Bool { text.isEmpty && unread.isEmpty }

  public mutating func append(_ part: String) {
    guard !part.isEmpty, !isTruncated else { return }
    let separator = text.isEmpty ? "" : "\n"
    let room = Self.maximumBytes - text.utf8.count - separator.utf8.count
    guard part.utf8.count > room else {
      text += separator + part
      return
    }
    isTruncated = true
    var end = part.utf8.index(part.startIndex, offsetBy: max(room, 0))
    while end > part.startIndex, end.samePosition(in: part.unicodeScalars) == nil { end = part.utf8.index(before: end) }
    if end > part.startIndex { text += separator + part[..<end] }
  }

  public mutating func append(_ other: ToolResultContent) {
    append(other.text)
    isTruncated = isTruncated || other.isTruncated
    for kind in other.unread { note(unread: kind) }
  }

  // MARK: JSON-RPC

  /// Reads the `result` or `error` of an answer to `tools/call`.
  /// - Throws: `ProtocolViolation` when it is not as MCP has it.
  mutating func append(answer: [String: JSONValue]) throws(ProtocolViolation) {
    if let error = answer["error"] { return try append(error: error) }
    guard var members = answer["result"]?.object else { throw Self.malformed("`result` must be an object") }
    guard members.lookAlike(of: ["content", "structuredContent", "isError"]) == nil else {
      throw Self.malformed("a name of `result` differs from one of MCP's only in the case of letters")
    }
    if let isError = members.removeValue(forKey: "isError") {
      guard isError.bool != nil else { throw Self.malformed("`isError` must be true or false") }
    }
    if let content = members.removeValue(forKey: "content") {
      guard let items = content.array else { throw Self.malformed("`content` must be an array") }
      for item in items { try append(item: item) }
    }
    if let structured = members.removeValue(forKey: "structuredContent") { append(structured.canonicalText) }
    if members["resultType"] == "complete" { members["resultType"] = nil }
    append(rest: members)
  }

  /// Reads a message that a server sends beside its answer.
  mutating func append(messageWith params: [String: JSONValue]) {
    var members = params
    for name in ["progressToken", "progress", "total"] { members[name] = nil }
    if let level = members["level"]?.string, level.utf8.count <= 16 { members["level"] = nil }
    for name in ["message", "data"] {
      guard let text = members[name]?.string else { continue }
      append(text)
      members[name] = nil
    }
    append(rest: members)
  }

  private mutating func append(error: JSONValue) throws(ProtocolViolation) {
    guard var members = error.object, let message = members.removeValue(forKey: "message")?.string else {
      throw Self.malformed("`error` must be an object with a `message`")
    }
    append(message)
    if case .number = members["code"] { members["code"] = nil }
    if let data = members.removeValue(forKey: "data") { append(data.string ?? data.canonicalText) }
    append(rest: members)
  }

  // MARK: Content

  private mutating func append(item: JSONValue) throws(ProtocolViolation) {
    guard var members = item.object, let type = members.removeValue(forKey: "type")?.string else {
      throw Self.malformed("an item of `content` must be an object with a `type`")
    }
    guard members.lookAlike(of: ["type", "text", "resource", "data", "uri", "name"]) == nil else {
      throw Self.malformed("a name in `content` differs from one of MCP's only in the case of letters")
    }
    switch type {
    case "text":
      guard let text = members.removeValue(forKey: "text")?.string else {
        throw Self.malformed("an item of type text must have a `text`")
      }
      append(text)
    case "image", "audio":
      guard members.removeValue(forKey: "data")?.string != nil else {
        throw Self.malformed("an image or audio must have `data`")
      }
      note(unread: type)
    case "resource":
      guard let resource = members.removeValue(forKey: "resource")?.object else {
        throw Self.malformed("an item of type resource must have a `resource`")
      }
      try append(resource: resource)
    case "resource_link":
      guard members["uri"]?.string != nil else { throw Self.malformed("a resource link must have a `uri`") }
      for name in ["uri", "name", "title", "description"] {
        guard let text = members[name]?.string else { continue }
        append(text)
        members[name] = nil
      }
      if case .number = members["size"] { members["size"] = nil }
    default: note(unread: type)
    }
    append(rest: Self.withoutLabels(members))
  }

  private mutating func append(resource: [String: JSONValue]) throws(ProtocolViolation) {
    var members = resource
    guard members.lookAlike(of: ["uri", "text", "blob"]) == nil else {
      throw Self.malformed("a name in `resource` differs from one of MCP's only in the case of letters")
    }
    guard let uri = members.removeValue(forKey: "uri")?.string else {
      throw Self.malformed("a resource must have a `uri`")
    }
    append(uri)
    let (text, blob) = (members.removeValue(forKey: "text"), members.removeValue(forKey: "blob"))
    switch (text, blob) {
    case (.string(let text)?, nil): append(text)
    case (nil, .string?): note(unread: "blob")
    default: throw Self.malformed("a resource must have either a `text` or a `blob`")
    }
    append(rest: Self.withoutLabels(members))
  }

  /// What MCP has no place for is read too: somebody may show it to an LLM.
  private mutating func append(rest members: [String: JSONValue]) {
    if !members.isEmpty { append(JSONValue.object(members).canonicalText) }
  }

  /// Leaves out what says only how content is to be taken, as long as it says it in MCP's own words.
  private static func withoutLabels(_ members: [String: JSONValue]) -> [String: JSONValue] {
    var members = members
    if let type = members["mimeType"]?.string, isMediaType(type) { members["mimeType"] = nil }
    if let labels = members["annotations"]?.object,
      labels.allSatisfy({ name, value in
        switch (name, value) {
        case ("audience", .array(let roles)): roles.allSatisfy { $0 == "user" || $0 == "assistant" }
        case ("priority", .number): true
        default: false
        }
      })
    {
      members["annotations"] = nil
    }
    return members
  }

  private static func isMediaType(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return text.utf8.count <= 64 && parts.count == 2
      && parts.allSatisfy { part in !part.isEmpty && part.allSatisfy { isNameByte($0) || $0 == UInt8(ascii: "+") } }
  }

  private mutating func note(unread kind: String) {
    let name = Self.isUnreadKind(kind) ? kind : "other"
    guard !unread.contains(name), unread.count < Self.maximumUnread else { return }
    unread.append(name)
  }

  /// Whether `name` can stand in `unread`: 1 to 64 of A-Z a-z 0-9 _ - .
  public static func isUnreadKind(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count) && name.utf8.allSatisfy(isNameByte)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
      || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
  }

  private static func malformed(_ detail: String) -> ProtocolViolation {
    ProtocolViolation(.mcpResponseUnreadable, "the tool's result can't be read: " + detail)
  }
}
