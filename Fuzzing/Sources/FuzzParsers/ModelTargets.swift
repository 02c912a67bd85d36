import AgentProtocols
import CASACore
import TextEmbedding

@testable import IntentChecks

/// A nonce that the kept inputs know.
private let nonce: Nonce = {
  var generator = Zeros()
  return Nonce(using: &generator)
}()

private struct Zeros: RandomNumberGenerator {
  mutating func next() -> UInt64 { 0 }
}

/// Reads the input as a whole answer of the chat completions API, as the words of a model, and as what is judged.
@Sendable func fuzzVerifierAnswer(_ bytes: [UInt8]) {
  for answer in [
    try? VerifierAnswer(parsing: bytes, nonce: nonce),
    try? VerifierAnswer(text: String(decoding: bytes, as: UTF8.self), nonce: nonce),
  ] {
    guard let answer else { continue }
    require((0...1).contains(answer.score), "a score is from 0 to 1")
    require(answer.reason.utf8.count <= VerifierAnswer.longestReason, "a reason is bounded")
    require(!answer.reason.unicodeScalars.contains(where: VisibleText.isInvisible), "a reason hides nothing")
    let opinion = VerifierOpinion(combining: [answer, answer])
    require(opinion?.score == answer.score && opinion?.samples == 2, "the mean of two equal samples is each of them")
  }
  fuzzPrompt(String(decoding: bytes, as: UTF8.self), (try? JSONValue(parsing: bytes)) ?? .null)
}

/// Whatever is judged stays on its one line.
private func fuzzPrompt(_ text: String, _ arguments: JSONValue) {
  let question = VerifierQuestion(
    task: text, tool: text, toolDescription: text, arguments: arguments, alreadyDone: [text, text])
  let lines = VerifierPrompt(question, nonce: nonce, boundary: nonce).user.utf8.split(
    separator: 0x0A, omittingEmptySubsequences: false)
  require(lines.count == 3, "the fence is the first line and the last")
  let mark = Array("CASA-\(nonce.text)".utf8)
  require(Array(lines[1]).ranges(of: mark).isEmpty, "the boundary is not in the block")
  require(
    !String(Substring(lines[1])).unicodeScalars.contains(where: VisibleText.isInvisible), "the block hides nothing")
  // Of a text that holds the boundary something is missing.
  guard bytes(of: text).ranges(of: mark).isEmpty, let read = try? JSONValue(parsing: Array(lines[1])) else { return }
  if text.utf8.count <= VerifierPrompt.longestName {
    require(read["tool"]?.string.map { haveSameBytes($0, text) } == true, "what is short is shown as it is")
    require(read["left_out"]?["tool"] == nil, "nothing is missing of what is short")
  } else {
    require(read["left_out"]?["tool"] != nil, "what is missing is said to be")
  }
}

private func bytes(of text: String) -> [UInt8] { Array(text.utf8) }

/// The first byte says how many texts the embeddings are of, and how many components they must have.
@Sendable func fuzzEmbeddingsAnswer(_ bytes: [UInt8]) {
  guard let first = bytes.first else { return }
  let (count, dimension) = (Int(first & 0x0F) + 1, Int(first >> 4))
  guard
    let embeddings = try? EmbeddingsAnswer.embeddings(
      in: Array(bytes.dropFirst()), count: count, dimension: dimension > 0 ? dimension : nil)
  else { return }
  require(embeddings.count == count, "each text has its embedding")
  let width = embeddings[0].components.count
  require(width > 0 && (dimension == 0 || width == dimension), "the dimension is as expected")
  for embedding in embeddings {
    require(embedding.components.count == width, "all have the same dimension")
    require(embedding.components.allSatisfy(\.isFinite), "each component is finite")
    require(abs(embedding.cosine(with: embedding) - 1) < 0.02, "an embedding points somewhere")
  }
}
