public import AgentProtocols
public import CASACore

/// A request that passes, and what the proxy changes on its way.
public struct Admission: Sendable {
  /// Set in place of whatever the request had.
  public var setHeaders: [(name: String, value: String)] = []
  public var removeHeaders: [String] = []
  /// Handed to the filter that reads the answer, as the evidence of whose it is; there it stays within the proxy.
  public var answerToken: String?
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

/// What is known of a request for its record, filled in as the decision goes on.
public struct RequestRecord: Sendable {
  /// How the LLM is named as a destination.
  public static let llm = "llm"

  /// How the session of a request was found.
  public enum Correlation: String, Sendable {
    case traceparent, meta, context, content
    /// The workload has but one session.
    case onlySession = "only_session"
  }

  public var direction: String
  public var destination: String?
  public var method: String?
  public var tool: ToolName?
  public var traceID: TraceID?
  public var userInputID: UserInputID?
  public var tokenHash: TokenHash?
  public var requestID: JSONRPCID?
  public var correlation: Correlation?

  public init(direction: String, destination: String? = nil) {
    self.direction = direction
    self.destination = destination
  }

  /// The event that `POST /trace/events` takes.
  public func event(refusal: Refusal?, decisionID: String?, latency: Duration?) -> JSONValue {
    var event: [String: JSONValue] = [
      "kind": refusal == nil ? "call_admitted" : "call_refused", "direction": .string(direction),
    ]
    event["latency_ms"] = latency.map { .number(($0.inMilliseconds * 1000).rounded() / 1000) }
    event["destination"] = destination.map(JSONValue.string)
    event["method"] = method.map { .string(String($0.prefix(64))) }
    event["tool"] = tool.map { .string($0.text) }
    event["trace_id"] = traceID.map { .string($0.text) }
    event["user_input_id"] = userInputID.map { .string($0.rawValue) }
    event["token_sha256"] = tokenHash.map { .string($0.text) }
    event["decision_id"] = decisionID.map(JSONValue.string)
    event["correlated_by"] = correlation.map { .string($0.rawValue) }
    if let refusal {
      event["reason"] = .string(refusal.reason.rawValue)
      event["explanation"] = .string(String(refusal.explanation.prefix(256)))
    }
    return .object(event)
  }
}
