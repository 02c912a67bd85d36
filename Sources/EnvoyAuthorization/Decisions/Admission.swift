import AgentProtocols
import CASACore

/// A request that passes, and what the proxy changes on its way.
struct Admission: Sendable {
  /// Set in place of whatever the request had.
  var setHeaders: [(name: String, value: String)] = []
  var removeHeaders: [String] = []
  /// Handed to the filter that reads the LLM's answer; it stays within the proxy.
  var llmToken: String?
  var decisionID: String?
  /// For the trace.
  var tokenHash: TokenHash?
  var userInputID: UserInputID?
}

/// What is known of a request for its record, filled in as the decision goes on.
struct RequestRecord: Sendable {
  var direction: String
  var destination: String?
  var method: String?
  var tool: ToolName?
  var traceID: TraceID?
  var userInputID: UserInputID?
  var tokenHash: TokenHash?
  var requestID: JSONRPCID?
}
