import CASACore

/// A token on its way from one party to another, as a node saw it.
///
/// A token travels one way only: from the app it was issued to, the holder, to the app it is meant for, the addressee.
/// A user-input token (T1) goes so to the next agent or MCP server, a tool token (T3) to its MCP server, one for
/// discovery to whom it lists. An LLM token (T2) has no addressee: it stays with its holder, whose sidecar and
/// authorization service may hand each other any token of theirs.
struct TokenSighting: Sendable, Hashable {
  /// One end of the connection.
  struct Party: Sendable, Hashable {
    /// nil when no policy says which app that is.
    let app: AppID?
    /// nil when no such app is registered.
    let mas: MASID?
    /// How people know it: the app's name, or what the node says of it.
    let name: String
  }

  let sender: Party
  let recipient: Party

  /// Why `token` may not be seen there; nil when it may.
  func exfiltration(of token: TokenRecord) -> TokenExfiltration.Reason? {
    if let app = sender.app, app == recipient.app, app == token.holder || app == token.addressee { return nil }
    guard let from = sender.app else { return .senderUnknown }
    guard from == token.holder else { return sender.mas == token.masID ? .senderNotHolder : .senderForeign }
    guard let to = recipient.app else { return .recipientUnknown }
    guard to == token.addressee else {
      return recipient.mas == token.masID ? .recipientNotAddressed : .recipientForeign
    }
    return nil
  }

  /// One sentence for people.
  /// - Parameter name: of an app of the token's.
  func explanation(
    of token: TokenRecord, _ reason: TokenExfiltration.Reason, name: (AppID) -> String
  ) -> String {
    let holder = name(token.holder)
    let expected =
      token.addressee.map { "it may only go from \(holder) to \(name($0))" } ?? "it may never leave \(holder)'s sidecar"
    let why =
      switch reason {
      case .senderUnknown: "the sender is no registered app"
      case .senderForeign: "the sender is no app of its MAS"
      case .senderNotHolder: "the sender is not whom it was issued to"
      case .recipientUnknown: "no app is known at that address"
      case .recipientForeign: "the recipient is no app of its MAS"
      case .recipientNotAddressed: "the recipient is not whom it is meant for"
      }
    return
      "a token of scope \(token.scope.rawValue) went from \(sender.name) to \(recipient.name), but \(expected): \(why)"
  }
}
