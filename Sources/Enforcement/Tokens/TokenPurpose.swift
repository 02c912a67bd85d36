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

/// A token that a workload holds for a purpose in one of its sessions.
public struct HeldToken: Sendable {
  public let compact: String
  public let hash: TokenHash
  public let expiresAt: Timestamp
  public let userInputID: UserInputID?
  /// The hash of the session's token it came from: an exchanged token is not used under another.
  public let parent: TokenHash?
  /// Of the prompt a client's session began with.
  public let promptDigest: String?

  public init(
    compact: String, hash: TokenHash, expiresAt: Timestamp, userInputID: UserInputID?, parent: TokenHash?,
    promptDigest: String? = nil
  ) {
    self.compact = compact
    self.hash = hash
    self.expiresAt = expiresAt
    self.userInputID = userInputID
    self.parent = parent
    self.promptDigest = promptDigest
  }
}
