import AgentProtocols
import CASACore
import Glibc
import TextEmbedding

/// Encodes what it reads, a JSON array of texts a line, with the model in the folder of its first argument and the
/// arithmetic of its second. Answers each line by the time it took in nanoseconds and the components of the last
/// embedding.
@main
enum TimedEncoder {
  static func main() throws {
    guard CommandLine.arguments.count == 3, let arithmetic = Arithmetic(rawValue: CommandLine.arguments[2]) else {
      fatalError("expected a model's folder and float32 or int8")
    }
    let encoder = try SentenceEncoder(folder: CommandLine.arguments[1], arithmetic: arithmetic)
    let clock = ContinuousClock()
    while let line = readLine() {
      let texts = try JSONValue(parsing: line).array?.compactMap(\.string) ?? []
      var embeddings: [Embedding] = []
      let time = clock.measure { embeddings = encoder.encode(texts) }
      let nanoseconds = time.components.seconds * 1_000_000_000 + time.components.attoseconds / 1_000_000_000
      let components = embeddings.last?.components ?? []
      print(nanoseconds, components.map { "\($0)" }.joined(separator: " "))
      fflush(nil)
    }
  }
}
