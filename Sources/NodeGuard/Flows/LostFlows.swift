public import CASACore

/// That the node guard could not tell of all it saw.
public struct LostFlows: Sendable, Hashable {
  /// How reports name the machine as a whole; no workload can have such a name.
  public static let node = "(node)"

  /// Unique among all reports of the machine, ever: 1 to 100 characters of `A-Z a-z 0-9 . _ : -`.
  public let id: String
  public let at: Timestamp
  public let count: UInt64
  /// What became of them, such as `spool_full`: 1 to 40 characters of `a-z 0-9 _`.
  public let reason: String

  public init(id: String, at: Timestamp, count: UInt64, reason: String) {
    self.id = id
    self.at = at
    self.count = count
    self.reason = reason
  }

  /// The report to the runtime (`POST /trace/events`).
  public var json: JSONValue {
    [
      "kind": "flows_lost", "id": .string(id), "at": .number(Double(at.milliseconds)), "workload": .string(Self.node),
      "count": .number(count: count), "reason": .string(reason),
    ]
  }
}
