import AgentProtocols
import CASACore

/// One sample of a verifying LLM's opinion, read so strictly that nothing is left to guess.
struct VerifierAnswer: Sendable, Hashable {
  /// Bytes of a whole answer of the chat completions API; models that think send their thoughts along.
  static let maximumBytes = 256 << 10
  static let longestReason = 300
  private static let envelope = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 16, maximumNodes: 10_000)
  private static let opinion = JSONLimits(maximumBytes: 4096, maximumDepth: 1, maximumNodes: 5)

  /// How sure the model is that the call serves the task, from 0 to 1.
  let score: Double
  /// One sentence, at most 300 bytes, all visible.
  let reason: String

  /// Reads a `chat.completion` whose one message's text is exactly the object that was asked for.
  init(parsing body: [UInt8], nonce: Nonce) throws(AnswerDefect) {
    guard body.count <= Self.maximumBytes else { throw .tooLarge }
    guard let json = try? JSONValue(parsing: body, limits: Self.envelope), json.object != nil else { throw .notJSON }
    guard let choices = json["choices"]?.array, choices.count == 1, let message = choices[0]["message"],
      message["role"]?.string.map({ haveSameBytes($0, "assistant") }) ?? false
    else { throw .notOneMessage }
    guard Self.isAbsent(message["refusal"]), Self.isAbsent(message["function_call"]),
      Self.isAbsent(message["tool_calls"]) || message["tool_calls"]?.array?.isEmpty == true
    else { throw .declined }
    let finish = choices[0]["finish_reason"]
    guard Self.isAbsent(finish) || finish?.string.map({ haveSameBytes($0, "stop") }) == true else { throw .cutOff }
    guard let text = message["content"]?.string else { throw .notOneMessage }
    try self.init(text: text, nonce: nonce)
  }

  /// Reads the model's own words.
  init(text: String, nonce: Nonce) throws(AnswerDefect) {
    guard let members = (try? JSONValue(parsing: text, limits: Self.opinion))?.object, members.count == 4,
      let repeated = members["nonce"]?.string, let serves = members["serves"]?.bool,
      case .number(let confidence) = members["confidence"], (0...1).contains(confidence),
      let reason = members["reason"]?.string, reason.utf8.count <= Self.longestReason
    else { throw .notAnOpinion }
    guard haveSameBytes(repeated, nonce.text) else { throw .otherNonce }
    // One that is not sure of its no has not said yes.
    score = serves ? confidence : min(1 - confidence, 0.5)
    self.reason = Self.visible(reason)
  }

  private static func isAbsent(_ value: JSONValue?) -> Bool { value == nil || value == .null }

  private static func visible(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    var length = 0
    for scalar in VisibleText.escapingInvisible(text).unicodeScalars {
      length += UTF8.width(scalar)
      guard length <= longestReason else { break }
      result.append(scalar)
    }
    return String(result)
  }
}
