import AgentProtocols
import CASACore

/// How much of the chat completions API a request uses. Servers differ; what one doesn't know it refuses with 400.
enum VerifierRequestForm: Sendable, Hashable, CaseIterable {
  /// With the answer's schema, a temperature and a bound on tokens.
  case complete
  /// With the schema alone, as models want it that think before they answer.
  case withSchema
  /// The messages alone.
  case plain

  /// The next simpler one.
  var simpler: VerifierRequestForm? {
    switch self {
    case .complete: .withSchema
    case .withSchema: .plain
    case .plain: nil
    }
  }
}

/// The body of a request to the chat completions API.
enum VerifierRequest {
  /// Enough for some thoughts and the answer.
  private static let maximumTokens: Int64 = 1024

  // In this order, since the model writes the members in it: the reason first, and the confidence in what was said.
  private static let schema =
    #"{"type":"json_schema","json_schema":{"name":"opinion","strict":true,"schema":{"type":"object","properties":{"#
    + #""nonce":{"type":"string"},"reason":{"type":"string"},"serves":{"type":"boolean"},"#
    + #""confidence":{"type":"number"}},"required":["nonce","reason","serves","confidence"],"#
    + #""additionalProperties":false}}}"#

  static func body(
    _ prompt: VerifierPrompt, model: String, form: VerifierRequestForm, temperature: Double
  ) -> [UInt8] {
    var members: [String: JSONValue] = [
      "model": .string(model),
      "messages": [
        ["role": "system", "content": .string(prompt.system)], ["role": "user", "content": .string(prompt.user)],
      ],
    ]
    if form == .complete {
      members["temperature"] = .number(temperature)
      members["max_tokens"] = .number(Double(maximumTokens))
    }
    var bytes = JSONValue.object(members).canonicalBytes
    if form != .plain {
      bytes.removeLast()
      bytes += #","response_format":"#.utf8
      bytes += schema.utf8
      bytes.append(UInt8(ascii: "}"))
    }
    return bytes
  }
}
