public import AgentProtocols
public import CASACore

/// What a callee's answer holds that is read on its way back, and for which session.
public struct Offer: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    /// An MCP server lists its tools.
    case tools
    /// An agent shows its card.
    case card
    /// An MCP server answers the call of a tool that has this id.
    case result(JSONRPCID)
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
  public var text: String {
    let (word, id): (String, JSONRPCID?) =
      switch kind {
      case .tools: ("tools", nil)
      case .card: ("card", nil)
      case .result(let id): ("result", id)
      }
    // The app chose the id: encoded it can be no other word.
    return "\(word) \(app) \(trace?.text ?? "-")" + (id.map { " " + Base64URL.encode($0.json.canonicalBytes) } ?? "")
  }

  /// nil for anything else than such a text.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 3, let app = Name(parts[1]) else { return nil }
    let trace = TraceID(parts[2])
    guard trace != nil || parts[2] == "-" else { return nil }
    let kind: Kind
    switch (parts[0], parts.count) {
    case ("tools", 3): kind = .tools
    case ("card", 3): kind = .card
    case ("result", 4):
      guard let id = Base64URL.decode(parts[3]).flatMap({ try? JSONValue(parsing: $0) }).flatMap({ JSONRPCID($0) })
      else { return nil }
      kind = .result(id)
    default: return nil
    }
    self.init(kind, of: app, trace: trace)
  }
}
