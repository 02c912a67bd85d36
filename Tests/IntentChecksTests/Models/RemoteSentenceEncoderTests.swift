import AgentProtocols
import AsyncHTTPClient
import CASACore
import Testing
import TextEmbedding

@testable import IntentChecks

@Suite("Embeddings by a server", .timeLimit(.minutes(2)))
struct RemoteSentenceEncoderTests {
  private static func answer(_ vectors: [[Double]]) -> JSONValue {
    [
      "object": "list", "model": "m",
      "data": .array(
        vectors.enumerated().map { index, vector in
          [
            "object": "embedding", "index": .number(Double(index)), "embedding": .array(vector.map(JSONValue.number)),
          ]
        }),
    ]
  }

  private func encode(
    _ texts: [String], _ url: String, _ http: HTTPClient, dimension: Int? = nil
  ) async -> Result<[Embedding], ModelUnavailable> {
    await encode(texts, by: try? encoder(url, http, dimension: dimension))
  }

  private func encoder(_ url: String, _ http: HTTPClient, dimension: Int? = nil) throws -> RemoteSentenceEncoder {
    var endpoint = try ModelEndpoint(url: url, model: "m", apiKey: APIKey("sk-1"))
    endpoint.dimension = dimension
    endpoint.attemptTimeout = .seconds(20)
    endpoint.totalTimeout = .seconds(40)
    return RemoteSentenceEncoder(endpoint, http: http)
  }

  private func encode(
    _ texts: [String], by encoder: RemoteSentenceEncoder?
  ) async -> Result<[Embedding], ModelUnavailable> {
    do throws(ModelUnavailable) {
      guard let encoder else { throw .circuitOpen }
      return .success(try await encoder.encode(texts))
    } catch {
      return .failure(error)
    }
  }

  @Test("are those of the texts, in their order, with length 1")
  func order() async throws {
    let shuffled: JSONValue = [
      "data": [
        ["index": 1, "embedding": [0, 2]], ["index": 0, "embedding": [3, 4]], ["index": 2, "embedding": [-1, 0]],
      ]
    ]
    try await StandInServer.run { _, _ in
      .answer(200, shuffled)
    } _: { server, url, http in
      let embeddings = try await encoder(url, http).encode(["a", "b", "c"])
      #expect(embeddings.map(\.components) == [[0.6, 0.8], [0, 1], [-1, 0]])
      let request = try #require(server.requests.first)
      #expect(request.path == "/v1/embeddings" && request.authorization == ["Bearer sk-1"])
      #expect(request.json == ["model": "m", "input": ["a", "b", "c"], "encoding_format": "float"])
    }
  }

  @Test("of many texts are asked for in parts")
  func parts() async throws {
    try await StandInServer.run { request, _ in
      let input = request.json["input"]?.array ?? []
      return .answer(200, Self.answer(input.map { [1, Double($0.string ?? "") ?? 0] }))
    } _: { server, url, http in
      let embeddings = try await encoder(url, http).encode((0..<150).map(String.init))
      #expect(server.requests.map { $0.json["input"]?.array?.count } == [64, 64, 22])
      #expect(
        embeddings.enumerated().allSatisfy { index, embedding in
          abs(embedding.components[1] / embedding.components[0] - Float(index)) < 0.1
        })
      let none = try await encoder(url, http).encode([])
      #expect(none.isEmpty)
      #expect(server.requests.count == 3)
    }
  }

  @Test(
    "are refused when they are not exactly one finite vector for each text, all alike in dimension",
    arguments: [
      (#"{"data":[]}"#, AnswerDefect.wrongNumberOfEmbeddings), (#"{"data":null}"#, .wrongNumberOfEmbeddings),
      (#"{"error":{}}"#, .wrongNumberOfEmbeddings),
      (#"{"data":[{"index":0,"embedding":[1]}]}"#, .wrongNumberOfEmbeddings),
      (
        #"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]},{"index":2,"embedding":[1]}]}"#,
        .wrongNumberOfEmbeddings
      ),
      (#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, .wrongNumberOfEmbeddings),
      (#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#, .wrongNumberOfEmbeddings),
      (#"{"data":[{"index":0,"embedding":[1]},{"index":-1,"embedding":[1]}]}"#, .wrongNumberOfEmbeddings),
      (#"{"data":[{"embedding":[1]},{"embedding":[1]}]}"#, .wrongNumberOfEmbeddings),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1]}]}"#, .wrongDimension),
      (#"{"data":[{"index":0,"embedding":[]},{"index":1,"embedding":[]}]}"#, .wrongDimension),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[0,0]}]}"#, .noDirection),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1e-30,0]}]}"#, .noDirection),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1e30,1]}]}"#, .noDirection),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1e300,1]}]}"#, .noDirection),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1,null]}]}"#, .notAVector),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":["1","0"]}]}"#, .notAVector),
      (#"{"data":[{"index":0,"embedding":"AACAPw=="},{"index":1,"embedding":"AACAPw=="}]}"#, .notAVector),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1,NaN]}]}"#, .notJSON),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1,Infinity]}]}"#, .notJSON),
      (#"{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1,1e999]}]}"#, .notJSON),
      (#"{"data":[],"data":[]}"#, .notJSON), ("[]", .notJSON), ("", .notJSON), ("<html>", .notJSON),
    ])
  func defects(body: String, defect: AnswerDefect) async throws {
    try await StandInServer.run { _, _ in
      .body(body)
    } _: { server, url, http in
      #expect(await encode(["a", "b"], url, http) == .failure(.malformedAnswer(defect)))
      #expect(server.requests.count == 2, "asked once more, in case that it passes")
    }
  }

  @Test("of another dimension than the first ones had are another model's")
  func otherModel() async throws {
    try await StandInServer.run { _, number in
      .answer(200, Self.answer([[Double]](repeating: [Double](repeating: 1, count: number == 1 ? 3 : 4), count: 1)))
    } _: { _, url, http in
      let encoder = try encoder(url, http)
      #expect(await (try? encode(["a"], by: encoder).get())?.count == 1)
      #expect(await encode(["a"], by: encoder) == .failure(.malformedAnswer(.wrongDimension)))
    }
  }

  @Test("have the dimension that the settings say")
  func dimension() async throws {
    try await StandInServer.run { _, _ in
      .answer(200, Self.answer([[1, 0, 0]]))
    } _: { _, url, http in
      #expect(await encode(["a"], url, http, dimension: 384) == .failure(.malformedAnswer(.wrongDimension)))
      #expect(await (try? encode(["a"], url, http, dimension: 3).get())?.count == 1)
    }
  }

  @Test("are not asked for of a text that is too long, rather than of a part of it")
  func longText() async throws {
    try await StandInServer.run { _, _ in
      .answer(200, Self.answer([[1, 0]]))
    } _: { server, url, http in
      let text = String(repeating: "a", count: RemoteSentenceEncoder.longestText)
      #expect(await encode([text + "a"], url, http) == .failure(.questionTooLarge))
      #expect(server.requests.isEmpty)
      #expect(await (try? encode([text], url, http).get())?.count == 1)
    }
  }
}
