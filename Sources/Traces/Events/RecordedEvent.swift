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
  /// Whether it is what was written. Of an event that was damaged, what can still be read is told, and nothing of its
  /// payload.
  public let isReadable: Bool

  static let columns = "sequence, at, kind, mas_id, user_input_id, trace_id, app_id, payload"

  /// - Throws: `StorageError` only when it has no place among the others.
  init(row: Row) throws(StorageError) {
    var isReadable = true
    func read<Value>(else missing: Value, _ value: () throws(StorageError) -> Value) -> Value {
      do throws(StorageError) {
        return try value()
      } catch {
        isReadable = false
        return missing
      }
    }
    sequence = try row.integer("sequence")
    at = Timestamp(milliseconds: read(else: 0) { () throws(StorageError) in try row.integer("at") })
    kind = read(else: "unreadable") { () throws(StorageError) in try row.text("kind") }
    masID = read(else: nil) { () throws(StorageError) in try row.optionalText("mas_id").map { MASID($0) } }
    userInputID = read(else: nil) { () throws(StorageError) in
      try row.optionalText("user_input_id").map { UserInputID($0) }
    }
    traceID = read(else: nil) { () throws(StorageError) in try row.optionalText("trace_id") }
    appID = read(else: nil) { () throws(StorageError) in try row.optionalText("app_id").map { AppID($0) } }
    let payload = read(else: JSONValue.null) { () throws(StorageError) in
      guard let payload = try? JSONValue(parsing: Array(try row.text("payload").utf8)), payload.object != nil else {
        throw .corrupt("a trace event's payload is no JSON object")
      }
      return payload
    }
    self.payload = isReadable ? payload : ["unreadable": true]
    self.isReadable = isReadable
  }

  /// How often it happened.
  var count: Int64 { min(max(payload["count"]?.integer ?? 1, 0), 1_000_000_000) }

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
