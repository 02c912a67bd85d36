import AgentProtocols
import CASACore

/// Reads an LLM's answer as it passes and holds back what an agent could act on until its selections are stored.
///
/// Pure: fed with what arrives, it says what to do. A streamed answer flows until its first tool call; from there
/// on, and of a plain answer everything, is held until the selections are known and stored.
struct LLMAnswerGate: Sendable {
  enum Step: Sendable {
    /// Let these bytes go (an empty list holds everything back for now).
    case release([UInt8])
    /// Store these selections first, then let the bytes go.
    case record([ToolSelection], thenRelease: [UInt8])
  }

  private enum Reading: Sendable {
    case plain
    case stream(ChatCompletionStream)
    /// Not an answer that selects anything: an error of the LLM's host.
    case passing
    /// It could not be read.
    case refused
  }

  private var reading: Reading
  private var held: [UInt8] = []
  private var recorded: [ToolSelection]?
  private var recordedCalls = 0

  /// - Throws: `ProtocolViolation` for an answer that can't be read.
  init(status: Int, contentType: String, contentEncoding: String?) throws(ProtocolViolation) {
    guard ContentEncoding.isIdentity(contentEncoding) else {
      throw ProtocolViolation(.llmResponseUnreadable, "the LLM's answer is compressed though nobody asked for it")
    }
    if !(200..<300).contains(status) {
      reading = .passing
    } else if ContentType.isUTF8(contentType, of: "text/event-stream") {
      reading = .stream(ChatCompletionStream())
    } else if ContentType.isUTF8(contentType, of: "application/json") {
      reading = .plain
    } else {
      throw ProtocolViolation(
        .llmResponseUnreadable, "the LLM's answer must be application/json or text/event-stream, in UTF-8")
    }
  }

  /// - Throws: `ProtocolViolation`; from then on always, since nothing further may pass.
  mutating func feed(_ bytes: [UInt8], isLast: Bool) throws(ProtocolViolation) -> Step {
    do {
      return try read(bytes, isLast: isLast)
    } catch {
      reading = .refused
      held = []
      throw error
    }
  }

  private mutating func read(_ bytes: [UInt8], isLast: Bool) throws(ProtocolViolation) -> Step {
    switch reading {
    case .refused: throw ProtocolViolation(.llmResponseUnreadable, "the LLM's answer was refused before")
    case .passing: return .release(bytes)
    case .plain:
      try hold(bytes)
      guard isLast else { return .release([]) }
      return .record(try ChatCompletion.selections(in: held), thenRelease: takeHeld())
    case .stream(var stream):
      // Taken out, so that what it holds is not copied with each part of the answer.
      reading = .refused
      try stream.feed(bytes)
      reading = .stream(stream)
      try hold(bytes)
      if let recorded {
        guard stream.selections() == recorded, stream.callCount == recordedCalls else {
          throw ProtocolViolation(.llmResponseUnreadable, "the LLM selected more after it said that it was done")
        }
        return .release(takeHeld())
      }
      if stream.isDone || isLast {
        let selections = stream.selections()
        recorded = selections
        recordedCalls = stream.callCount
        return .record(selections, thenRelease: takeHeld())
      }
      return .release(stream.callCount == 0 ? takeHeld() : [])
    }
  }

  private mutating func hold(_ bytes: [UInt8]) throws(ProtocolViolation) {
    guard held.count + bytes.count <= ChatCompletion.limits.maximumBytes else {
      throw ProtocolViolation(
        .llmResponseUnreadable, "the LLM's answer is larger than \(ChatCompletion.limits.maximumBytes) bytes")
    }
    held += bytes
  }

  private mutating func takeHeld() -> [UInt8] {
    let bytes = held
    held = []
    return bytes
  }
}
