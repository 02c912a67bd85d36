public import CASACore

/// What one check of a machine or a cluster came to.
public struct Finding: Sendable, Hashable {
  public enum Verdict: String, Sendable, Hashable, CaseIterable {
    case ok
    /// It works, but not as well or as safely as it could.
    case warning
    case failed
    /// It could not be looked at; the finding says why.
    case skipped
  }

  /// For machines, such as `machine.kernel`. Stable.
  public let check: String
  public let verdict: Verdict
  /// What was found.
  public let message: String
  /// What to do; empty when there is nothing.
  public let remedy: String

  public init(_ check: String, _ verdict: Verdict, _ message: String, remedy: String = "") {
    self.check = check
    self.verdict = verdict
    self.message = message
    self.remedy = remedy
  }

  public var json: JSONValue {
    [
      "check": .string(check), "verdict": .string(verdict.rawValue), "message": .string(message),
      "remedy": .string(remedy),
    ]
  }
}
