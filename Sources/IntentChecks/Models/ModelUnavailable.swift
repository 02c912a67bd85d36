/// Why a model gave no answer that can be used. Whatever the case, the question stays undecided, which means: closed.
///
/// Each case says what happened in fixed words; none holds a text that was judged, an answer or a key.
public enum ModelUnavailable: Error, Sendable, Hashable, CustomStringConvertible {
  /// There was no whole answer in time.
  case timedOut
  /// Whoever asked doesn't wait any more.
  case cancelled
  case unreachable(ConnectionFailure)
  /// The server answered with this HTTP status.
  case refused(status: Int)
  case malformedAnswer(AnswerDefect)
  /// The server failed so often of late that it isn't asked for a moment.
  case circuitOpen
  /// More questions than allowed wait for this server already.
  case tooManyWaiting
  /// The question is larger than what is sent to a model.
  case questionTooLarge

  public var description: String {
    switch self {
    case .timedOut: "the model did not answer in time"
    case .cancelled: "nobody waits for the model's answer any more"
    case .unreachable(let failure): "the model can't be reached: \(failure.rawValue)"
    case .refused(let status): "the model's server answered with status \(status)"
    case .malformedAnswer(let defect): "the model's answer can't be used: \(defect.rawValue)"
    case .circuitOpen: "the model's server failed repeatedly and is left alone for a moment"
    case .tooManyWaiting: "too many questions wait for the model"
    case .questionTooLarge: "the question is too large for the model"
    }
  }
}

/// Why there is no connection, or none any more.
public enum ConnectionFailure: String, Sendable, Hashable, CaseIterable {
  case noConnection = "no connection could be made"
  case notTrusted = "TLS could not be agreed on, or the server's certificate is not trusted"
  case notHTTP = "what came was not HTTP"
  case closed = "the connection broke before the answer's end"
}

/// What an answer lacks; the raw value says it to people.
public enum AnswerDefect: String, Error, Sendable, Hashable, CaseIterable {
  case tooLarge = "it is larger than allowed"
  case notJSON = "it is not one strict JSON object"
  // Embeddings.
  case wrongNumberOfEmbeddings = "it does not have exactly one embedding for each text"
  case notAVector = "an embedding is not an array of numbers"
  case wrongDimension = "an embedding has not as many components as expected"
  case noDirection = "an embedding is not finite, or has no direction"
  // Opinions.
  case notOneMessage = "it is not exactly one message of the assistant with a text"
  case declined = "the model declined to answer, or called a tool"
  case cutOff = "the model did not come to its end"
  case notAnOpinion = "it does not have exactly the members that were asked for"
  case otherNonce = "it does not repeat this question's nonce"
}
