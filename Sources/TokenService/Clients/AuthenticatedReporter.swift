/// Who may report what it saw; only `ClientAuthentication` makes one.
public enum AuthenticatedReporter: Sendable {
  /// A part of the data plane, as the app that it acts for.
  case client(AuthenticatedClient)
  case node(AuthenticatedNode)
}

/// A node whose secret was found good.
public struct AuthenticatedNode: Sendable {
  public let node: Node
}
