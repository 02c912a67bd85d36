public import CASACore

/// A token was seen where it was not issued for.
public struct TokenExfiltration: Sendable {
  public enum Reason: String, Sendable, CaseIterable {
    /// The sender is no app that a policy names.
    case senderUnknown = "sender_unknown"
    /// The sender is of another MAS, or is registered no more.
    case senderForeign = "sender_foreign"
    /// The sender is another app of the token's MAS than the one it was issued to.
    case senderNotHolder = "sender_not_holder"
    /// The recipient is no app that a policy names.
    case recipientUnknown = "recipient_unknown"
    /// The recipient is of another MAS, or is registered no more.
    case recipientForeign = "recipient_foreign"
    /// The recipient is another app of the token's MAS than the one it is meant for.
    case recipientNotAddressed = "recipient_not_addressed"
  }

  public let token: TokenHash
  public let reason: Reason
  /// One sentence for people, without the token or its hash.
  public let explanation: String
  /// The session, when the token has one.
  public let userInputID: UserInputID?
  public let node: NodeName
}
