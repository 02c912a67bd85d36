public import CASACore

/// What a callee offers in an answer that is checked on its way back, and for which session.
public struct Offer: Sendable, Hashable {
  public enum Kind: String, Sendable, Hashable {
    /// An MCP server lists its tools.
    case tools
    /// An agent shows its card.
    case card
  }

  public let kind: Kind
  public let app: Name
  /// nil in no session: then everything that was approved may be offered.
  public let trace: TraceID?

  public init(_ kind: Kind, of app: Name, trace: TraceID?) {
    self.kind = kind
    self.app = app
    self.trace = trace
  }

  /// As the proxy hands it from one filter to the next.
  public var text: String { "\(kind.rawValue) \(app) \(trace?.text ?? "-")" }

  /// nil for anything else than such a text.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3, let kind = Kind(rawValue: parts[0]), let app = Name(parts[1]) else { return nil }
    let trace = TraceID(parts[2])
    guard trace != nil || parts[2] == "-" else { return nil }
    self.init(kind, of: app, trace: trace)
  }
}
