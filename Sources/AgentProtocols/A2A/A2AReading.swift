import CASACore

/// How the parts of an A2A request are read, whichever binding they came by.
///
/// Servers made from the protocol's own definitions take a member by its name in camel case and in snake case alike,
/// so each may be sent by one of them, and what neither version names is refused: nothing stays that another reader
/// could take for the message.
enum A2AReading {
  static func malformed(_ detail: String) -> ProtocolViolation { ProtocolViolation(.malformedRequest, detail) }
  static let unknownOperation = ProtocolViolation(.methodNotAllowed, "this A2A operation is not let through")
  static let wrongContentType = ProtocolViolation(
    .protocolNotAllowed, "`content-type` must be application/json, in UTF-8")

  // MARK: JSON-RPC

  static func content(
    method: String, params: [String: JSONValue]
  ) throws(ProtocolViolation) -> A2ARequest.Content {
    switch method {
    case "message/send", "SendMessage", "message/stream", "SendStreamingMessage":
      return .message(try message(in: params, allowsOldNames: false))
    case "tasks/get", "tasks/cancel", "tasks/resubscribe", "GetTask", "CancelTask", "SubscribeToTask":
      return .task(id: try taskID(in: params))
    case "ListTasks": return .taskList(contextID: try contextID(ofListing: params))
    case "agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard":
      try refuseTenant(in: params)
      return .card(isExtended: true)
    default: throw unknownOperation
    }
  }

  // MARK: HTTP and JSON

  static func get(
    path: String, query: String?, base: String
  ) throws(ProtocolViolation) -> (String, A2ARequest.Content) {
    let rest = try steps(of: path, below: base)
    let form: FormBody
    do {
      form = try FormBody(parsing: Array((query ?? "").utf8), maximumFields: 16)
    } catch {
      throw malformed("the query can't be read: \(error)")
    }
    func allow(_ names: Set<String>) throws(ProtocolViolation) {
      guard Set(form.names).isSubset(of: names) else { throw malformed("the query has a field of another operation") }
    }
    switch rest {
    case ["extendedAgentCard"], ["card"]:
      try allow([])
      return ("GetExtendedAgentCard", .card(isExtended: true))
    case ["tasks"]:
      try allow([
        "contextId", "status", "pageSize", "pageToken", "historyLength", "statusTimestampAfter", "includeArtifacts",
      ])
      if let context = form["contextId"], !isIdentifier(context) { throw malformed("`contextId` is no identifier") }
      return ("ListTasks", .taskList(contextID: form["contextId"]))
    default: break
    }
    guard rest.count == 2, rest[0] == "tasks" else { throw unknownOperation }
    if let id = taskID(in: rest[1], action: "subscribe") {
      try allow([])
      return ("SubscribeToTask", .task(id: id))
    }
    guard let id = taskID(in: rest[1], action: nil) else { throw unknownOperation }
    try allow(["historyLength"])
    return ("GetTask", .task(id: id))
  }

  static func post(
    path: String, body: [UInt8], base: String, limits: JSONLimits
  ) throws(ProtocolViolation) -> (String, A2ARequest.Content) {
    let rest = try steps(of: path, below: base)
    func members() throws(ProtocolViolation) -> [String: JSONValue] {
      guard let members = try JSONValue(body: body, limits: limits).object else {
        throw malformed("the body must be a JSON object")
      }
      return members
    }
    switch rest {
    case ["message:send"]:
      return ("SendMessage", .message(try message(in: members(), allowsOldNames: true)))
    case ["message:stream"]:
      return ("SendStreamingMessage", .message(try message(in: members(), allowsOldNames: true)))
    default: break
    }
    guard rest.count == 2, rest[0] == "tasks" else { throw unknownOperation }
    for (action, operation) in [("cancel", "CancelTask"), ("subscribe", "SubscribeToTask")] {
      guard let id = taskID(in: rest[1], action: action) else { continue }
      // The path names the task; a body may repeat it and say nothing else of it.
      if !body.isEmpty {
        let members = try members()
        try refuseUnknown(in: members, but: ["id", "name", "metadata"])
        for name in ["id", "name"] {
          guard members[name] == nil || [id, "tasks/" + id].contains(members[name]?.string ?? "") else {
            throw malformed("the body names another task than the path")
          }
        }
      }
      return (operation, .task(id: id))
    }
    throw unknownOperation
  }

  /// What follows the base and, in 0.3, `/v1`.
  private static func steps(of path: String, below base: String) throws(ProtocolViolation) -> [String] {
    // Nothing that a server could read otherwise: no escapes, no dots alone, no empty steps.
    guard path.utf8.starts(with: (base + "/").utf8), path.utf8.count <= 2048 else { throw unknownOperation }
    let rest = String(decoding: path.utf8.dropFirst(base.utf8.count + 1), as: UTF8.self)
    var steps = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    if steps.first == "v1" { steps.removeFirst() }
    guard (1...2).contains(steps.count),
      steps.allSatisfy({ step in
        step.utf8.allSatisfy { isIdentifierByte($0) || $0 == UInt8(ascii: ":") }
      })
    else { throw unknownOperation }
    return steps
  }

  private static func taskID(in step: String, action: String?) -> String? {
    guard let action else { return isIdentifier(step) ? step : nil }
    guard step.hasSuffix(":" + action) else { return nil }
    let id = String(step.dropLast(action.count + 1))
    return isIdentifier(id) ? id : nil
  }

  // MARK: Members

  static func message(
    in params: [String: JSONValue], allowsOldNames: Bool
  ) throws(ProtocolViolation) -> A2ARequest.Message {
    // HTTP and JSON of 0.3 was made from definitions that called the message a request and its parts content.
    let old = allowsOldNames ? (message: ["request"], parts: ["content"]) : (message: [], parts: [])
    try refuseTenant(in: params)
    try refuseUnknown(in: params, but: Set(["message", "configuration", "metadata", "tenant"] + old.message))
    try refusePushNotifications(in: params["configuration"])
    guard let members = try one(of: ["message"] + old.message, in: params)?.object else {
      throw malformed("`message` must be an object")
    }
    try refuseUnknown(
      in: members,
      but: Set(
        [
          "kind", "messageId", "message_id", "contextId", "context_id", "taskId", "task_id", "role", "parts",
          "metadata", "extensions", "referenceTaskIds", "reference_task_ids",
        ] + old.parts))
    guard let role = members["role"]?.string, ["user", "ROLE_USER"].contains(role),
      let parts = try one(of: ["parts"] + old.parts, in: members)?.array, !parts.isEmpty
    else { throw malformed("`message` must have the role of the user and at least one part") }
    guard members["kind"] == nil || members["kind"]?.string == "message" else {
      throw malformed("the `kind` of a message is message")
    }
    _ = try one(of: ["messageId", "message_id"], in: members)
    _ = try one(of: ["referenceTaskIds", "reference_task_ids"], in: members)
    var texts: [String] = []
    for part in parts { if let text = try self.text(of: part) { texts.append(text) } }
    let contextID = try identifier(["contextId", "context_id"], in: members)
    _ = try identifier(["taskId", "task_id"], in: members)
    return A2ARequest.Message(
      text: texts.isEmpty ? nil : texts.joined(separator: "\n"), contextID: contextID,
      hasOtherParts: texts.count < parts.count)
  }

  /// The text of a text part; nil for one of another kind.
  private static func text(of part: JSONValue) throws(ProtocolViolation) -> String? {
    guard let members = part.object else { throw malformed("a part must be an object") }
    try refuseUnknown(
      in: members,
      but: [
        "kind", "text", "raw", "url", "data", "file", "metadata", "filename", "mediaType", "media_type",
      ])
    let contents = ["text", "raw", "url", "data", "file"].filter { members[$0] != nil }
    guard contents.count == 1, let content = contents.first else { throw malformed("a part must have one content") }
    if let kind = members["kind"] {
      guard kind.string == content, ["text", "data", "file"].contains(content) else {
        throw malformed("a part's `kind` must be text, data or file, as its content is")
      }
    }
    guard content == "text" else { return nil }
    guard let text = members["text"]?.string else { throw malformed("a part's `text` must be a text") }
    return text
  }

  /// A message may carry the configuration of push notifications along.
  private static func refusePushNotifications(in configuration: JSONValue?) throws(ProtocolViolation) {
    guard let configuration else { return }
    guard let members = configuration.object else { throw malformed("`configuration` must be an object") }
    let push: Set<String> = [
      "pushNotificationConfig", "pushNotification", "push_notification", "push_notification_config",
      "taskPushNotificationConfig", "task_push_notification_config",
    ]
    // null is as absent.
    for (name, value) in members where push.contains(name) && value != .null {
      throw ProtocolViolation(.methodNotAllowed, "push notifications are not let through")
    }
    try refuseUnknown(
      in: members,
      but: push.union([
        "acceptedOutputModes", "accepted_output_modes", "historyLength", "history_length", "blocking",
        "returnImmediately", "return_immediately",
      ]))
  }

  static func taskID(in params: [String: JSONValue]) throws(ProtocolViolation) -> String {
    try refuseTenant(in: params)
    try refuseUnknown(in: params, but: ["id", "historyLength", "history_length", "metadata", "tenant"])
    guard let id = try identifier(["id"], in: params) else { throw malformed("`id` must name a task") }
    return id
  }

  static func contextID(ofListing params: [String: JSONValue]) throws(ProtocolViolation) -> String? {
    try refuseTenant(in: params)
    return try identifier(["contextId", "context_id"], in: params)
  }

  /// A tenant would be another agent behind the same address.
  static func refuseTenant(in params: [String: JSONValue]) throws(ProtocolViolation) {
    guard params["tenant"] == nil || params["tenant"]?.string == "" else {
      throw ProtocolViolation(.methodNotAllowed, "an agent is called by its address, not as a `tenant`")
    }
  }

  private static func refuseUnknown(
    in members: [String: JSONValue], but names: Set<String>
  ) throws(ProtocolViolation) {
    guard Set(members.keys).isSubset(of: names) else { throw malformed("there is a member that A2A does not name") }
  }

  /// The member that is there under one of several names.
  private static func one(of names: [String], in members: [String: JSONValue]) throws(ProtocolViolation) -> JSONValue? {
    let present = names.compactMap { members[$0] }
    guard present.count <= 1 else { throw malformed("a member is there under two names") }
    return present.first
  }

  private static func identifier(
    _ names: [String], in members: [String: JSONValue]
  ) throws(ProtocolViolation) -> String? {
    switch try one(of: names, in: members) {
    case nil, .null: return nil
    case .string(let text) where isIdentifier(text): return text
    default: throw malformed("an id must be 1 to \(A2ARequest.maximumIDBytes) of A-Z a-z 0-9 - . _ ~")
    }
  }

  private static func isIdentifier(_ text: String) -> Bool {
    (1...A2ARequest.maximumIDBytes).contains(text.utf8.count) && text.utf8.allSatisfy(isIdentifierByte)
      && text != "." && text != ".."
  }

  /// The characters that no path needs to escape (RFC 3986 section 2.3).
  private static func isIdentifierByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "-._~".utf8.contains(byte)
    }
  }
}
