import AgentProtocols
public import AsyncHTTPClient
import CASACore
import Synchronization
public import TextEmbedding

/// Embeddings by a server of OpenAI's embeddings API.
public struct RemoteSentenceEncoder: SentenceEncoding {
  /// In bytes of UTF-8. A longer text is refused rather than cut, since its meaning may be in what would be missing.
  public static let longestText = 32 << 10

  private let client: ModelClient
  private let agreed: AgreedDimension

  /// - Parameter http: made with `ModelEndpoint.clientConfiguration`, and shut down by whoever made it.
  public init(_ endpoint: ModelEndpoint, http: HTTPClient) { self.init(ModelClient(endpoint, http: http)) }

  init(_ client: ModelClient) {
    self.client = client
    agreed = AgreedDimension(client.endpoint.dimension)
  }

  public var model: String { client.endpoint.model }

  public func encode(_ texts: [String]) async throws(ModelUnavailable) -> [Embedding] {
    guard texts.allSatisfy({ $0.utf8.count <= Self.longestText }) else { throw .questionTooLarge }
    let deadline = client.deadline
    var embeddings: [Embedding] = []
    embeddings.reserveCapacity(texts.count)
    var rest = texts[...]
    while !rest.isEmpty {
      let part = Array(rest.prefix(EmbeddingsAnswer.mostTexts))
      rest = rest.dropFirst(part.count)
      embeddings += try await client.answer(until: deadline) { [agreed] in self.request(part, agreed) }
    }
    return embeddings
  }

  private func request(_ texts: [String], _ agreed: AgreedDimension) -> ModelRequest<[Embedding]> {
    let body: JSONValue = [
      "model": .string(model), "input": .array(texts.map(JSONValue.string)), "encoding_format": "float",
    ]
    return ModelRequest(
      path: "/embeddings", body: body.canonicalBytes,
      maximumAnswerBytes: EmbeddingsAnswer.maximumBytes(texts: texts.count)
    ) { (answer: [UInt8]) throws(AnswerDefect) in
      let embeddings = try EmbeddingsAnswer.embeddings(in: answer, count: texts.count, dimension: agreed.dimension)
      guard agreed.agree(on: embeddings[0].components.count) else { throw .wrongDimension }
      return embeddings
    }
  }
}

/// How many components a model's embeddings have, from the first answer on: another number means another model, and
/// its embeddings can't be compared with those before.
private final class AgreedDimension: Sendable {
  private let value: Mutex<Int?>

  init(_ dimension: Int?) { value = Mutex(dimension) }

  var dimension: Int? { value.withLock { $0 } }

  func agree(on dimension: Int) -> Bool {
    value.withLock { value in
      if value == nil { value = dimension }
      return value == dimension
    }
  }
}
