public import CASACore

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
