public enum Verdict: Sendable, Hashable {
  case allow
  case refuse(RefusalReason)
}
