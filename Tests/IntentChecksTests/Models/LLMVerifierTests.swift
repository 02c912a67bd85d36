import AgentProtocols
import AsyncHTTPClient
import CASACore
import Synchronization
import Testing

@testable import IntentChecks

@Suite("Asking an LLM whether a call serves the task", .timeLimit(.minutes(2)))
struct LLMVerifierTests {
  private static let question = VerifierQuestion(
    task: "What's the weather in Oslo?", tool: "get_weather", toolDescription: "Tells the weather.",
    arguments: ["city": "Oslo"])

  /// The nonce that the rules say.
  private static func nonce(_ request: StandInServer.Request) -> String {
    let rules = request.message("system")
    guard let start = rules.firstRange(of: #"{"nonce":""#)?.upperBound else { return "" }
    return String(rules[start...].prefix(32))
  }

  private static func says(
    _ request: StandInServer.Request, serves: Bool = true, confidence: Double, reason: String = "It fits.",
    nonce: String? = nil
  ) -> StandInServer.Reply {
    let opinion: JSONValue = [
      "nonce": .string(nonce ?? Self.nonce(request)), "serves": .bool(serves), "confidence": .number(confidence),
      "reason": .string(reason),
    ]
    return says(opinion.canonicalText)
  }

  private static func says(_ text: String) -> StandInServer.Reply {
    let choice: JSONValue = [
      "index": 0, "finish_reason": "stop", "message": ["role": "assistant", "content": .string(text)],
    ]
    return .answer(200, ["id": "c1", "object": "chat.completion", "choices": [choice]])
  }

  private func verifier(_ url: String, _ http: HTTPClient, samples: Int = 3) throws -> LLMVerifier {
    var endpoint = try ModelEndpoint(url: url, model: "judge", apiKey: APIKey("sk-1"))
    endpoint.attemptTimeout = .seconds(20)
    endpoint.totalTimeout = .seconds(40)
    endpoint.sampling.maximum = samples
    return LLMVerifier(endpoint, http: http)
  }

  private func opinion(
    _ verifier: LLMVerifier, _ question: VerifierQuestion = question
  ) async -> Result<VerifierOpinion, ModelUnavailable> {
    do throws(ModelUnavailable) {
      return .success(try await verifier.opinion(on: question))
    } catch {
      return .failure(error)
    }
  }

  @Test("takes a sure answer as it is", arguments: [(true, 0.95, 0.95), (false, 0.95, 0.05), (true, 0.1, 0.1)])
  func sure(serves: Bool, confidence: Double, score: Double) async throws {
    try await StandInServer.run { request, _ in
      Self.says(request, serves: serves, confidence: confidence)
    } _: {
      server, url, http in
      let opinion = try await verifier(url, http).opinion(on: Self.question)
      #expect(abs(opinion.score - score) < 1e-9 && opinion.samples == 1 && opinion.why == "It fits.")
      let request = try #require(server.requests.first)
      #expect(server.requests.count == 1 && request.path == "/v1/chat/completions")
      #expect(request.json["temperature"]?.integer == 0)
      #expect(request.message("user").contains(#""task":"What's the weather in Oslo?""#))
    }
  }

  @Test("asks for further samples at once when the first is borderline, and takes the mean")
  func borderline() async throws {
    let gate = Gate(parties: 2)
    try await StandInServer.run { request, number in
      let reply = Self.says(request, confidence: [0.6, 0.9, 0.9][number - 1])
      // Each of the further two is answered only when both have been asked.
      return number == 1 ? reply : .held(gate.arrive(), reply)
    } _: { server, url, http in
      let opinion = try await verifier(url, http).opinion(on: Self.question)
      #expect(abs(opinion.score - 0.8) < 1e-9 && opinion.samples == 3)
      #expect(server.requests.count == 3)
      #expect(server.requests.dropFirst().allSatisfy { $0.json["temperature"] == .number(0.7) })
      #expect(Set(server.requests.map(Self.nonce)).count == 3, "each sample has its own nonce")
      let fences = server.requests.map { $0.message("user").prefix { !$0.isNewline } }
      #expect(Set(fences).count == 3, "each sample has its own fence")
    }
  }

  @Test("does not ask twice where one sample is enough for the settings")
  func oneSample() async throws {
    try await StandInServer.run { request, _ in
      Self.says(request, confidence: 0.5)
    } _: { server, url, http in
      let opinion = try await verifier(url, http, samples: 1).opinion(on: Self.question)
      #expect(opinion.samples == 1)
      #expect(server.requests.count == 1)
    }
  }

  @Test("takes samples that contradict each other as no more than a guess")
  func contradiction() async throws {
    try await StandInServer.run { request, number in
      Self.says(request, serves: number != 2, confidence: number == 1 ? 0.7 : 1)
    } _: { _, url, http in
      let opinion = try await verifier(url, http).opinion(on: Self.question)
      #expect(opinion.score == 0.5)
    }
  }

  @Test("has no opinion when a further sample fails")
  func furtherFails() async throws {
    try await StandInServer.run { request, number in
      number == 1 ? Self.says(request, confidence: 0.6) : .answer(403, [:])
    } _: { _, url, http in
      let result = await opinion(try verifier(url, http))
      #expect(result == .failure(.refused(status: 403)))
    }
  }

  @Test("does not believe an answer that doesn't know this request's nonce")
  func dictated() async throws {
    // As a text could dictate it, which knows no nonce, or one of an earlier request.
    let earlier = Mutex("00000000000000000000000000000000")
    try await StandInServer.run { request, _ in
      let old = earlier.withLock { old in
        defer { old = Self.nonce(request) }
        return old
      }
      return Self.says(request, confidence: 1, nonce: old)
    } _: { server, url, http in
      let result = await opinion(try verifier(url, http))
      #expect(result == .failure(.malformedAnswer(.otherNonce)))
      #expect(server.requests.count == 2)
    }
  }

  @Test("asks once more after an answer that is not an opinion, with another nonce, and then gives up")
  func malformed() async throws {
    try await StandInServer.run { request, number in
      number == 1 ? Self.says("Sure! The call is fine.") : Self.says(request, confidence: 1)
    } _: { server, url, http in
      let result = await opinion(try verifier(url, http))
      #expect(try result.get().score == 1)
      #expect(Set(server.requests.map(Self.nonce)).count == 2)
    }
    try await StandInServer.run { _, _ in
      Self.says("Sure!")
    } _: { server, url, http in
      let result = await opinion(try verifier(url, http))
      #expect(result == .failure(.malformedAnswer(.notAnOpinion)))
      #expect(server.requests.count == 2)
    }
  }

  @Test(
    "asks in simpler forms a server that refuses the others, and remembers which one it takes", arguments: [400, 422])
  func simplerForms(status: Int) async throws {
    try await StandInServer.run { request, _ in
      request.json["response_format"] == nil ? Self.says(request, confidence: 1) : .answer(status, ["error": "what?"])
    } _: { server, url, http in
      let verifier = try verifier(url, http)
      for _ in 0..<3 { #expect(await (try? opinion(verifier).get())?.score == 1) }
      #expect(server.requests.count == 2 + 3)
      #expect(server.requests.last?.json["temperature"] == nil)
    }
    try await StandInServer.run { request, _ in
      request.json["temperature"] == nil ? Self.says(request, confidence: 1) : .answer(status, ["error": "what?"])
    } _: { server, url, http in
      let verifier = try verifier(url, http)
      for _ in 0..<2 { #expect(await (try? opinion(verifier).get())?.score == 1) }
      #expect(server.requests.count == 1 + 2)
      #expect(server.requests.last?.json["response_format"] != nil)
    }
  }

  @Test("gives up on a server that refuses every form, and tries them all again the next time")
  func noForm() async throws {
    try await StandInServer.run { _, _ in
      .answer(400, [:])
    } _: { server, url, http in
      let verifier = try verifier(url, http)
      for _ in 0..<2 { #expect(await opinion(verifier) == .failure(.refused(status: 400))) }
      #expect(server.requests.count == 6)
    }
  }

  @Test("tells failures apart without a word of what was judged or of the key")
  func silentFailures() async throws {
    let question = VerifierQuestion(
      task: "SECRET-TASK", tool: "SECRET-TOOL", toolDescription: "", arguments: ["SECRET-NAME": "SECRET-VALUE"])
    for reply in [
      StandInServer.Reply.answer(401, ["error": "SECRET-ANSWER sk-1"]), .body("SECRET-ANSWER"),
      .bytes("SECRET-ANSWER\r\n\r\n"),
      Self.says("SECRET-ANSWER"),
    ] {
      try await StandInServer.run { _, _ in
        reply
      } _: { _, url, http in
        guard case .failure(let failure) = await opinion(try verifier(url, http), question) else {
          Issue.record("an opinion out of nothing")
          return
        }
        for text in ["\(failure)", String(reflecting: failure)] {
          #expect(!text.contains("SECRET") && !text.contains("sk-1"))
        }
      }
    }
  }
}
