public import AgentProtocols
public import CASACore

/// What is known of a request for its record, filled in as the decision goes on.
public struct RequestRecord: Sendable {
  /// How the LLM is named as a destination.
  public static let llm = Name.llm

  /// How the session of a request was found.
  public enum Correlation: String, Sendable {
    case traceparent, meta, context, content
    /// The workload has but one session.
    case onlySession = "only_session"
  }

  public var direction: Direction
  /// The called app's name, which on the way in is the workload's own, or `llm`; nil until it is known.
  public var destination: String?
  public var method: String?
  public var tool: ToolName?
  public var traceID: TraceID?
  public var userInputID: UserInputID?
  public var tokenHash: TokenHash?
  public var requestID: JSONRPCID?
  public var correlation: Correlation?

  public init(direction: Direction, destination: String? = nil) {
    self.direction = direction
    self.destination = destination
  }

  /// The event that `POST /trace/events` takes.
  public func event(refusal: Refusal?, decisionID: String?, latency: Duration?) -> JSONValue {
    var event: [String: JSONValue] = [
      "kind": refusal == nil ? "call_admitted" : "call_refused", "direction": .string(direction.rawValue),
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
