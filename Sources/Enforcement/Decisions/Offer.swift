public import AgentProtocols
public import CASACore

/// What a callee's answer holds that is read on its way back, and for which session.
public struct Offer: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    /// An MCP server lists its tools, to the request of this id; nil on a stream that is resumed.
    case tools(JSONRPCID?)
    /// An MCP server answers another request, of this id; nil when it was asked nothing and may only notify.
    case message(JSONRPCID?)
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

  /// Whether it holds for one request only, whatever else is equal in another.
  public var namesRequest: Bool {
    switch kind {
    case .tools(let id), .message(let id): id != nil
    case .result: true
    case .card: false
    }
  }

  /// As the proxy hands it from one filter to the next.
  public var text: String {
    let (word, id): (String, JSONRPCID?) =
      switch kind {
      case .tools(let id): ("tools", id)
      case .message(let id): ("message", id)
      case .card: ("card", nil)
      case .result(let id): ("result", id)
      }
    // The app chose the id: encoded it can be no other word.
    return "\(word) \(app) \(trace?.text ?? "-")" + (id.map { " " + Base64URL.encode($0.json.canonicalBytes) } ?? "")
  }

  /// nil for anything else than such a text.
  public init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard (3...4).contains(parts.count), let app = Name(parts[1]) else { return nil }
    let trace = TraceID(parts[2])
    guard trace != nil || parts[2] == "-" else { return nil }
    var id: JSONRPCID?
    if parts.count == 4 {
      guard let known = Base64URL.decode(parts[3]).flatMap({ try? JSONValue(parsing: $0) }).flatMap({ JSONRPCID($0) })
      else { return nil }
      id = known
    }
    let kind: Kind
    switch (parts[0], id) {
    case ("tools", _): kind = .tools(id)
    case ("message", _): kind = .message(id)
    case ("card", nil): kind = .card
    case ("result", let id?): kind = .result(id)
    default: return nil
    }
    self.init(kind, of: app, trace: trace)
  }
}
