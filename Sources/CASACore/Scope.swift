/// What a token is for. A token has exactly one scope.
public enum Scope: String, Sendable, Hashable, CaseIterable {
  /// T1: carries a user's input through the MAS.
  case userInput = "user-input"
  /// T2: one app may ask the LLM within the session.
  case llmAccess = "llm-access"
  /// T3: exactly one tool call.
  case callTools = "call-tools"
  /// The runtime itself may list the tools of one MCP server; carries no session.
  case discoverTools = "discover-tools"

  /// Whether a token of this scope may be exchanged for one of `narrower`. Only T1 can be exchanged.
  public func permitsExchange(to narrower: Scope) -> Bool {
    switch (self, narrower) {
    case (.userInput, .userInput), (.userInput, .llmAccess), (.userInput, .callTools): true
    default: false
    }
  }
}
