/// What one check says of one tool call.
public enum CheckAnswer: Sendable, Hashable {
  case allow
  /// Final: no other check's answer can outweigh it.
  case block(RefusalReason)
  /// The check has nothing to go on; `why` is for people.
  case abstain(why: String)
}
