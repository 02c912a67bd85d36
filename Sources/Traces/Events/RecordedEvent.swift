import AgentProtocols
public import CASACore
import Storage

/// A trace event as it is stored: with its place among all of them.
public struct RecordedEvent: Sendable {
  /// Ascends in the order in which events became durable.
  public let sequence: Int64
  public let at: Timestamp
  /// A kind as another version of the runtime may have written it.
  public let kind: String
  public let masID: MASID?
  public let userInputID: UserInputID?
  public let traceID: String?
  public let appID: AppID?
  public private(set) var payload: JSONValue

  static let columns = "sequence, at, kind, mas_id, user_input_id, trace_id, app_id, payload"

  init(row: Row) throws(StorageError) {
    guard let payload = try? JSONValue(parsing: Array(try row.text("payload").utf8)) else {
      throw .corrupt("a trace event's payload is not JSON")
    }
    self.payload = payload
    sequence = try row.integer("sequence")
    at = Timestamp(milliseconds: try row.integer("at"))
    kind = try row.text("kind")
    masID = try row.optionalText("mas_id").map { MASID($0) }
    userInputID = try row.optionalText("user_input_id").map { UserInputID($0) }
    traceID = try row.optionalText("trace_id")
    appID = try row.optionalText("app_id").map { AppID($0) }
  }

  /// As the API tells it.
  public var json: JSONValue {
    [
      "sequence": .number(Double(sequence)), "at": .string(at.rfc3339), "kind": .string(kind),
      "mas_id": masID.map { .string($0.rawValue) } ?? .null,
      "user_input_id": userInputID.map { .string($0.rawValue) } ?? .null,
      "trace_id": traceID.map(JSONValue.string) ?? .null, "app_id": appID.map { .string($0.rawValue) } ?? .null,
      "payload": payload,
    ]
  }

  /// The same without what a check judged and what a model said of it, which can repeat the prompt.
  func withoutPrompts() -> RecordedEvent {
    guard var members = payload.object, var decision = members["decision"]?.object,
      let checks = decision["checks"]?.array
    else { return self }
    decision["checks"] = .array(
      checks.map { check in
        guard var result = check.object, result["judged"] != nil else { return check }
        result["judged"] = nil
        result["explanation"] = "only for those who may read prompts"
        return .object(result)
      })
    members["decision"] = .object(decision)
    var told = self
    told.payload = .object(members)
    return told
  }
}
