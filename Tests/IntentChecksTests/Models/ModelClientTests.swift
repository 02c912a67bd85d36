import AsyncHTTPClient
import CASACore
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing

@testable import IntentChecks

/// Asks the stand-in server a question whose answer is its body's `word`.
private let wordRequest = ModelRequest<String>(path: "/word", body: Array("{}".utf8), maximumAnswerBytes: 1 << 16) {
  (body: [UInt8]) throws(AnswerDefect) in
  let text = String(decoding: body, as: UTF8.self)
  guard text.hasPrefix(#"{"word":""#) else { throw .notJSON }
  return String(text.dropFirst(9).dropLast(2))
}

private let word = StandInServer.Reply.answer(200, ["word": "yes"])

@Suite("Asking a model's server", .timeLimit(.minutes(2)))
struct ModelClientTests {
  /// What was waited for between attempts, without waiting.
  private final class Pauses: Sendable {
    private let list = Mutex<[Duration]>([])
    var all: [Duration] { list.withLock { $0 } }
    func add(_ pause: Duration) { list.withLock { $0.append(pause) } }
  }

  private final class Clock: Sendable {
    private let time = Mutex(ContinuousClock.now)
    var now: ContinuousClock.Instant { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 += duration } }
  }

  /// - Parameters:
  ///   - attempt: how long one attempt may take.
  private func client(
    _ url: String, _ http: HTTPClient, attempt: Duration = .seconds(20), total: Duration = .seconds(40),
    attempts: Int = 2, concurrency: Int = 16, waiting: Int = 64, key: String? = nil, pauses: Pauses = Pauses(),
    clock: Clock? = nil, breaker: CircuitBreaker = CircuitBreaker(threshold: .max)
  ) throws -> ModelClient {
    var endpoint = try ModelEndpoint(url: url, model: "m", apiKey: key.flatMap { APIKey($0) })
    endpoint.attemptTimeout = attempt
    endpoint.totalTimeout = total
    endpoint.attempts = attempts
    endpoint.concurrency = concurrency
    endpoint.waiting = waiting
    var surroundings = ModelClient.Surroundings()
    surroundings.pause = { pauses.add($0) }
    surroundings.jitter = { 1 }
    surroundings.breaker = breaker
    if let clock { surroundings.now = { clock.now } }
    return ModelClient(endpoint, http: http, surroundings: surroundings)
  }

  /// What asking came to.
  private func ask(_ client: ModelClient) async -> Result<String, ModelUnavailable> {
    do throws(ModelUnavailable) {
      return .success(try await client.answer(until: client.deadline) { wordRequest })
    } catch {
      return .failure(error)
    }
  }

  @Test("gets the answer, and keeps the connection for the next question")
  func answer() async throws {
    try await StandInServer.run { _, _ in
      word
    } _: { server, url, http in
      let client = try client(url, http, key: "sk-1")
      for _ in 0..<5 { #expect(await ask(client) == .success("yes")) }
      #expect(server.connections == 1)
      #expect(server.requests.allSatisfy { $0.path == "/v1/word" && $0.authorization == ["Bearer sk-1"] })
    }
  }

  @Test("sends no credentials where there is no key")
  func noKey() async throws {
    try await StandInServer.run { _, _ in
      word
    } _: { server, url, http in
      let result = await ask(try client(url, http))
      #expect(result == .success("yes"))
      #expect(server.requests.allSatisfy { $0.authorization.isEmpty })
    }
  }

  // MARK: Failures end in bounded time

  @Test("gives up on a server that is down")
  func down() async throws {
    let reserved = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(reserved.localAddress?.port)
    try await reserved.close()
    try await StandInServer.run { _, _ in
      word
    } _: { server, _, http in
      let pauses = Pauses()
      let client = try client("http://127.0.0.1:\(port)", http, pauses: pauses)
      #expect(await ask(client) == .failure(.unreachable(.noConnection)))
      #expect(pauses.all == [.milliseconds(100)])
    }
  }

  @Test(
    "gives up on a server that is silent, or whose answer has no end, when the time for each attempt is over",
    arguments: [StandInServer.Reply.silence, .dripping(of: " "), .dripping(of: "{\"word\":")])
  func endless(reply: StandInServer.Reply) async throws {
    try await StandInServer.run { _, _ in
      reply
    } _: { server, url, http in
      let pauses = Pauses()
      let client = try client(url, http, attempt: .milliseconds(150), pauses: pauses)
      let begin = ContinuousClock.now
      #expect(await ask(client) == .failure(.timedOut))
      #expect(pauses.all.count == 1 && server.requests.count <= 2)
      let took = ContinuousClock.now - begin
      #expect(took >= .milliseconds(300) && took < .seconds(10))
    }
  }

  @Test("gives up when the time for the whole question is over, in the middle of an attempt")
  func overall() async throws {
    try await StandInServer.run { _, _ in
      .silence
    } _: { server, url, http in
      let pauses = Pauses()
      let client = try client(url, http, attempt: .seconds(20), total: .milliseconds(150), pauses: pauses)
      let begin = ContinuousClock.now
      #expect(await ask(client) == .failure(.timedOut))
      #expect(ContinuousClock.now - begin < .seconds(10))
      #expect(pauses.all.isEmpty && server.requests.count <= 1)
    }
  }

  @Test(
    "takes in no more of an answer than is allowed",
    arguments: [StandInServer.Reply.flood, .body(String(repeating: " ", count: 70_000))])
  func huge(reply: StandInServer.Reply) async throws {
    try await StandInServer.run { _, _ in
      reply
    } _: { server, url, http in
      let client = try client(url, http)
      #expect(await ask(client) == .failure(.malformedAnswer(.tooLarge)))
      #expect(server.requests.count == 2)
    }
  }

  @Test("doesn't wait for the rest of what a refusal says")
  func hugeRefusal() async throws {
    let flood = "HTTP/1.1 403 X\r\ncontent-length: 9000000000\r\n\r\n{"
    try await StandInServer.run { _, _ in
      .bytes(flood)
    } _: { _, url, http in
      let result = await ask(try client(url, http))
      #expect(result == .failure(.refused(status: 403)))
    }
  }

  @Test("asks once more after an answer that can't be read, and not a third time")
  func garbage() async throws {
    try await StandInServer.run { _, number in
      number == 1 ? .body("<html>") : word
    } _: { server, url, http in
      let result = await ask(try client(url, http))
      #expect(result == .success("yes"))
    }
    try await StandInServer.run { _, _ in
      .body("<html>")
    } _: { server, url, http in
      let result = await ask(try client(url, http, attempts: 5))
      #expect(result == .failure(.malformedAnswer(.notJSON)))
      #expect(server.requests.count == 2)
    }
  }

  @Test(
    "gives up on what is no HTTP, and on answers that break off",
    arguments: [
      (StandInServer.Reply.bytes("what?\r\n\r\n"), ConnectionFailure.notHTTP),
      (.bytes("HTTP/1.1 abc X\r\n\r\n"), .notHTTP), (.brokenOff, .closed),
    ])
  func broken(reply: StandInServer.Reply, failure: ConnectionFailure) async throws {
    try await StandInServer.run { _, _ in
      reply
    } _: { server, url, http in
      let client = try client(url, http)
      #expect(await ask(client) == .failure(.unreachable(failure)))
      #expect(server.requests.count == 2)
    }
  }

  // MARK: Repeating

  @Test("asks again after failures that may pass", arguments: [408, 429, 500, 502, 503, 504])
  func repeats(status: Int) async throws {
    try await StandInServer.run { _, number in
      number == 1 ? .answer(status, [:]) : word
    } _: { server, url, http in
      let result = await ask(try client(url, http))
      #expect(result == .success("yes"))
    }
    try await StandInServer.run { _, _ in
      .answer(status, [:])
    } _: { server, url, http in
      let pauses = Pauses()
      let client = try client(url, http, attempts: 3, pauses: pauses)
      #expect(await ask(client) == .failure(.refused(status: status)))
      #expect(server.requests.count == 3)
      #expect(pauses.all == [.milliseconds(100), .milliseconds(200)])
    }
  }

  @Test("asks once only where the answer would be the same", arguments: [201, 204, 400, 401, 403, 404, 413, 422, 501])
  func doesNotRepeat(status: Int) async throws {
    try await StandInServer.run { _, _ in
      .answer(status, [:])
    } _: { server, url, http in
      let result = await ask(try client(url, http, attempts: 5))
      #expect(result == .failure(.refused(status: status)))
      #expect(server.requests.count == 1)
    }
  }

  @Test("follows no redirect, since the key would go with it")
  func redirect() async throws {
    try await StandInServer.run { _, _ in
      word
    } _: { other, elsewhere, _ in
      try await StandInServer.run { _, _ in
        .answer(307, [:], headers: [("location", elsewhere)])
      } _: { _, url, http in
        let result = await ask(try client(url, http, key: "sk-1"))
        #expect(result == .failure(.refused(status: 307)))
      }
      #expect(other.requests.isEmpty)
    }
  }

  @Test("waits as long as the server asks for, and not at all when that is too long")
  func retryAfter() async throws {
    try await StandInServer.run { _, number in
      number == 1 ? .answer(429, [:], headers: [("retry-after", "3")]) : word
    } _: { _, url, http in
      let pauses = Pauses()
      let result = await ask(try client(url, http, pauses: pauses))
      #expect(result == .success("yes"))
      #expect(pauses.all == [.milliseconds(3100)])
    }
    try await StandInServer.run { _, _ in
      .answer(429, [:], headers: [("retry-after", "3600")])
    } _: { server, url, http in
      let pauses = Pauses()
      let result = await ask(try client(url, http, pauses: pauses))
      #expect(result == .failure(.refused(status: 429)))
      #expect(pauses.all.isEmpty && server.requests.count == 1)
    }
  }

  @Test("repeats at most every fifth request, beyond a few")
  func budget() async throws {
    try await StandInServer.run { _, _ in
      .answer(500, [:])
    } _: { server, url, http in
      let client = try client(url, http)
      for _ in 0..<50 { #expect(await ask(client) == .failure(.refused(status: 500))) }
      #expect(server.requests.count == 50 + RetryBudget.reserve + 50 / RetryBudget.requestsPerRetry)
    }
  }

  // MARK: The breaker

  @Test("leaves a server alone that fails, and asks once whether it is back")
  func breaker() async throws {
    // The third request finds out for nothing, the fourth that it is back.
    try await StandInServer.run { _, number in
      number <= 3 ? .answer(500, [:]) : word
    } _: { server, url, http in
      let clock = Clock()
      let breaker = CircuitBreaker(threshold: 2, shortestPause: .seconds(1), longestPause: .seconds(8))
      let client = try client(url, http, attempts: 1, clock: clock, breaker: breaker)
      for _ in 0..<2 { #expect(await ask(client) == .failure(.refused(status: 500))) }
      for _ in 0..<5 { #expect(await ask(client) == .failure(.circuitOpen)) }
      #expect(server.requests.count == 2)
      clock.advance(by: .seconds(1))
      #expect(await ask(client) == .failure(.refused(status: 500)))
      #expect(await ask(client) == .failure(.circuitOpen))
      clock.advance(by: .seconds(2))
      for _ in 0..<3 { #expect(await ask(client) == .success("yes")) }
      #expect(server.requests.count == 6)
    }
  }

  @Test(
    "doesn't count what whoever writes the question may have brought about",
    arguments: [StandInServer.Reply.answer(400, [:]), .answer(413, [:]), .body("<html>"), .flood])
  func innocentServer(reply: StandInServer.Reply) async throws {
    try await StandInServer.run { _, number in
      number <= 8 ? reply : word
    } _: { _, url, http in
      let client = try client(url, http, attempts: 1, breaker: CircuitBreaker(threshold: 2))
      for _ in 0..<8 { #expect(await ask(client) != .failure(.circuitOpen)) }
      #expect(await ask(client) == .success("yes"))
    }
  }

  @Test("counts what is the server's doing", arguments: [StandInServer.Reply.answer(429, [:]), .brokenOff, .silence])
  func failingServer(reply: StandInServer.Reply) async throws {
    try await StandInServer.run { _, _ in
      reply
    } _: { _, url, http in
      let client = try client(
        url, http, attempt: .milliseconds(200), attempts: 1,
        breaker: CircuitBreaker(threshold: 2, shortestPause: .seconds(60)))
      for _ in 0..<2 { #expect(await ask(client) != .failure(.circuitOpen)) }
      #expect(await ask(client) == .failure(.circuitOpen))
    }
  }

  // MARK: Concurrency

  @Test("has no more requests under way than allowed, and answers all that wait")
  func concurrency() async throws {
    let gate = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    try await StandInServer.run { _, _ in
      .held(gate.futureResult, word)
    } _: { server, url, http in
      let client = try client(url, http, concurrency: 3)
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<20 { group.addTask { #expect(await ask(client) == .success("yes")) } }
        while server.requests.count + client.room.waiting < 20 { await Task.yield() }
        #expect(server.requests.count == 3)
        gate.succeed()
      }
      #expect(server.requests.count == 20)
      #expect(server.mostUnderWay <= 3)
    }
  }

  @Test("lets no more wait than allowed, and those no longer than their question's time")
  func waiting() async throws {
    let gate = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    try await StandInServer.run { _, _ in
      .held(gate.futureResult, word)
    } _: { server, url, http in
      let client = try client(url, http, total: .milliseconds(400), concurrency: 1, waiting: 2)
      let results = await withTaskGroup(of: Result<String, ModelUnavailable>.self) { group in
        for _ in 0..<6 { group.addTask { await ask(client) } }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(results.count { $0 == .failure(.tooManyWaiting) } == 3)
      #expect(results.count { $0 == .failure(.timedOut) } == 3)
      #expect(server.requests.count <= 1)
      gate.succeed()
    }
  }

  @Test("gives its room back whatever became of a request, so that later ones get through")
  func room() async throws {
    try await StandInServer.run { _, number in
      number <= 3 ? .silence : word
    } _: { server, url, http in
      let client = try client(url, http, attempt: .seconds(30), attempts: 1, concurrency: 1)
      for number in 1...3 {
        let question = Task { await ask(client) }
        while server.requests.count < number { await Task.yield() }
        question.cancel()
        #expect(await question.value == .failure(.cancelled))
      }
      #expect(await ask(client) == .success("yes"))
    }
  }

  @Test("whoever doesn't wait any more leaves the queue")
  func leavesTheQueue() async throws {
    let limit = ConcurrencyLimit(1, waiting: 4)
    try await limit.enter(until: .now)
    let waiting = (0..<3).map { _ in
      Task { () -> ModelUnavailable? in
        do throws(ModelUnavailable) {
          try await limit.enter(until: .now + .seconds(60))
          return nil
        } catch {
          return error
        }
      }
    }
    while limit.waiting < 3 { await Task.yield() }
    waiting[0].cancel()
    waiting[1].cancel()
    #expect(await waiting[0].value == .cancelled)
    #expect(await waiting[1].value == .cancelled)
    limit.leave()
    #expect(await waiting[2].value == nil)
    limit.leave()
    try await limit.enter(until: .now)
  }

  // MARK: Whom it talks to

  @Test("sends nothing to a server whose certificate nobody vouches for")
  func untrusted() async throws {
    let certificate = try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: NIOSSLCertificate.fromPEMBytes(Array(Self.certificate.utf8)).map { .certificate($0) },
        privateKey: .privateKey(NIOSSLPrivateKey(bytes: Array(Self.privateKey.utf8), format: .pem))))
    try await StandInServer.run(certificate: certificate) { _, _ in
      word
    } _: { server, url, http in
      let pauses = Pauses()
      let client = try client(url, http, key: "sk-1", pauses: pauses)
      #expect(await ask(client) == .failure(.unreachable(.notTrusted)))
      // The HTTP client may try the handshake again by itself while it waits; nothing is sent either way.
      #expect(server.connections >= 1 && pauses.all.isEmpty)
      #expect(server.requests.isEmpty)
    }
  }

  // Of nothing else than this test: a certificate for localhost that it signed itself.
  private static let privateKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKe435tpkHCAXkf0m
    bq14Y+/MfP83y6ZpPadAnIIS5LyhRANCAATzHD2Et+6JAoulKqPEa4c8sHywG7Lo
    7xA4Gt+bKzviN/J6DSkD2YqU2kX9KIonX5g67l+xIYY6HWZAo9lyPLFC
    -----END PRIVATE KEY-----
    """
  private static let certificate = """
    -----BEGIN CERTIFICATE-----
    MIIBmzCCAUGgAwIBAgIUDpZOS/R67ExtSbkFd5Dwr16+W14wCgYIKoZIzj0EAwIw
    FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDIwMjY1MloYDzIxMjYxMDMx
    MjAyNjUyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
    PQMBBwNCAATzHD2Et+6JAoulKqPEa4c8sHywG7Lo7xA4Gt+bKzviN/J6DSkD2YqU
    2kX9KIonX5g67l+xIYY6HWZAo9lyPLFCo28wbTAdBgNVHQ4EFgQUNE9qfZ/G0FzT
    4fac9We6zvR7cYcwHwYDVR0jBBgwFoAUNE9qfZ/G0FzT4fac9We6zvR7cYcwDwYD
    VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
    zj0EAwIDSAAwRQIgIqZcPVKImzbKyC3pEQ8sdwmyfp+c5OMU+zyjEnIhq8oCIQDn
    BRZQLv1N0UNHJyVjo7oQEKn6PSKPca+dVRVjSY/O8w==
    -----END CERTIFICATE-----
    """
}
