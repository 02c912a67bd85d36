public import CASACore

/// What is asked of the traces: filters, and from where on. Made from the parameters of a request.
public struct TraceQuery: Sendable {
  public enum Verdict: String, Sendable, CaseIterable {
    /// Nothing of the session was refused.
    case allowed
    case refused
  }

  public var system: MASID?
  public var app: AppID?
  public var session: UserInputID?
  public var tool: String?
  public var verdict: Verdict?
  public var reason: String?
  public var kind: String?
  public var from: Timestamp?
  public var to: Timestamp?
  /// Words of the prompt, all of which must be there.
  public var text: String?
  /// What comes before this place, the newest first.
  public var before: Int64?
  /// What comes after this place, the oldest first.
  public var after: Int64?
  public var limit: Int

  public static let maximumLimit = 1000

  /// - Parameter known: those parameters that the endpoint takes.
  /// - Throws: `InvalidField` naming the parameter that is wrong or unknown: a filter that is not understood must not
  ///   turn into none.
  public init(_ parameters: [String: String], known: Set<String>, limit fallback: Int = 100) throws(InvalidField) {
    for name in parameters.keys where !known.contains(name) {
      throw InvalidField(name, expected: "left out: known are \(known.sorted().joined(separator: ", "))")
    }
    func parsed<Value>(_ name: String, _ expected: String, _ parse: (String) -> Value?) throws(InvalidField) -> Value? {
      guard let text = parameters[name] else { return nil }
      guard let value = parse(text) else { throw InvalidField(name, expected: expected) }
      return value
    }
    func name(_ parameter: String, _ longest: Int) throws(InvalidField) -> String? {
      try parsed(parameter, "1 to \(longest) bytes") {
        (1...longest).contains($0.utf8.count) && !$0.utf8.contains(0) ? $0 : nil
      }
    }
    func place(_ parameter: String) throws(InvalidField) -> Int64? {
      try parsed(parameter, "a whole number, as an earlier answer gave it") { text in
        Int64(text).flatMap { (0...9_007_199_254_740_991).contains($0) ? $0 : nil }
      }
    }
    func moment(_ parameter: String) throws(InvalidField) -> Timestamp? {
      try parsed(parameter, "a moment such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970") {
        Timestamp(queried: $0)
      }
    }
    system = try parsed("mas_id", "a MAS's id") { MASID(validating: $0) }
    app = try parsed("app_id", "an app's id") { AppID(validating: $0) }
    session = try parsed("session", "a user input's id") { UserInputID(validating: $0) }
    tool = try name("tool", 256)
    reason = try name("reason", 64)
    kind = try name("kind", 64)
    text = try name("text", 512)
    verdict = try parsed("verdict", Verdict.allCases.map(\.rawValue).joined(separator: " or ")) {
      Verdict(rawValue: $0)
    }
    from = try moment("from")
    to = try moment("to")
    before = try place("before")
    after = try place("after")
    limit =
      try parsed("limit", "a whole number from 1 to \(Self.maximumLimit)") { text in
        Int(text).flatMap { (1...Self.maximumLimit).contains($0) ? $0 : nil }
      } ?? fallback
    if let from, let to, from >= to { throw InvalidField("to", expected: "a moment after `from`") }
  }
}
