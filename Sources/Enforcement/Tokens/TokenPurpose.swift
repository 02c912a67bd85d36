public import CASACore

/// What a token that is used more than once is used for in its session. Tokens for tool calls have none: each is
/// good for one call.
public enum TokenPurpose: Hashable, Sendable {
  /// To call this app, or to list an MCP server's tools.
  case call(AppID)
  case llm

  public var text: String {
    switch self {
    case .call(let app): "call:\(app)"
    case .llm: "llm"
    }
  }

  public init?(_ text: String) {
    if text == "llm" {
      self = .llm
    } else if text.hasPrefix("call:"), let app = AppID(validating: String(text.dropFirst(5))) {
      self = .call(app)
    } else {
      return nil
    }
  }
}
