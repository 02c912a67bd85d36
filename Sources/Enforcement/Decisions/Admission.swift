public import CASACore

/// A request that passes, and what the proxy changes on its way.
public struct Admission: Sendable {
  /// Set in place of whatever the request had.
  public var setHeaders: [(name: String, value: String)] = []
  /// Names of fields, in lower case, that are taken out of the request.
  public var removeHeaders: [String] = []
  /// Handed to the filter that reads the answer, as the evidence of whose it is; there it stays within the proxy.
  public var answerToken: String?
  /// Of the decision that the runtime made about a tool call; nil where it made none.
  public var decisionID: String?
  /// For the trace.
  public var tokenHash: TokenHash?
  public var userInputID: UserInputID?
  /// Handed to the filter that reads the answer of a callee.
  public var offer: Offer?
  /// How long the same request would pass again, whoever decides; nil when it would not.
  public var reuse: Duration?
  /// What a filter needs to admit the next request of the kind by itself.
  public var facts: DecisionFacts?

  public init() {}

  /// On a request whose answer must be read on its way back: it chooses the route on which that happens, and Envoy
  /// takes it out again. An app can't send it, since it is one of CASA's own.
  public static let readAnswerHeader = "x-casa-read-answer"
}
