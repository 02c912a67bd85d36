public import AsyncHTTPClient
import CASACore
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// One request to a model and how its answer is read.
struct ModelRequest<Answer: Sendable>: Sendable {
  /// Below the endpoint's URL, such as `/embeddings`.
  let path: String
  let body: [UInt8]
  let maximumAnswerBytes: Int
  let read: @Sendable (_ body: [UInt8]) throws(AnswerDefect) -> Answer
}

/// Asks a model's server, and gives up in bounded time whatever it does.
///
/// A request is repeated only after failures that may pass, within the retry budget, and once at most after an answer
/// that can't be used. All requests of one client share its budget, breaker and limit of concurrency.
final class ModelClient: Sendable {
  /// What a test replaces.
  struct Surroundings: Sendable {
    var now: @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    var pause: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0, clock: .continuous) }
    var jitter: @Sendable () -> Double = { Double.random(in: 0...1) }
    var breaker = CircuitBreaker()
    var backoff = Backoff()
  }

  let endpoint: ModelEndpoint
  private let http: HTTPClient
  private let surroundings: Surroundings
  let room: ConcurrencyLimit
  private let breaker: Mutex<CircuitBreaker>
  private let budget = Mutex(RetryBudget())

  /// - Parameter http: made with `ModelEndpoint.clientConfiguration`, and shut down by whoever made it.
  init(_ endpoint: ModelEndpoint, http: HTTPClient, surroundings: Surroundings = Surroundings()) {
    self.endpoint = endpoint
    self.http = http
    self.surroundings = surroundings
    room = ConcurrencyLimit(endpoint.concurrency, waiting: endpoint.waiting)
    breaker = Mutex(surroundings.breaker)
  }

  /// By when a question that is asked now has its answer.
  var deadline: ContinuousClock.Instant { .now + endpoint.totalTimeout }

  /// - Parameter request: made anew for each attempt.
  func answer<Answer: Sendable>(
    until deadline: ContinuousClock.Instant, to request: @Sendable () -> ModelRequest<Answer>
  ) async throws(ModelUnavailable) -> Answer {
    budget.withLock { $0.deposit() }
    var isSecondReading = false
    var attempt = 1
    while true {
      let request = request()
      let reply = try await send(request, until: deadline)
      let failure: ModelUnavailable
      switch reply {
      case .failed(let why): failure = why
      case .answered(200, let body, _):
        do {
          return try request.read(body)
        } catch {
          failure = .malformedAnswer(error)
        }
      case .answered(let status, _, _): failure = .refused(status: status)
      }
      if case .malformedAnswer = failure {
        guard !isSecondReading else { throw failure }
        isSecondReading = true
      }
      guard failure.mayPass, attempt < endpoint.attempts else { throw failure }
      let pause = surroundings.backoff.pause(
        after: attempt, jitter: surroundings.jitter(), retryAfter: reply.retryAfter)
      // What can't be in time is not begun.
      guard ContinuousClock.now + pause < deadline, budget.withLock({ $0.withdraw() }) else { throw failure }
      do {
        try await surroundings.pause(pause)
      } catch {
        throw .cancelled
      }
      attempt += 1
    }
  }

  /// What came of sending a request once.
  fileprivate enum Reply: Sendable {
    case answered(status: Int, body: [UInt8], retryAfter: Duration?)
    case failed(ModelUnavailable)

    var retryAfter: Duration? {
      guard case .answered(_, _, let pause) = self else { return nil }
      return pause
    }
  }

  private func send<Answer>(
    _ request: ModelRequest<Answer>, until deadline: ContinuousClock.Instant
  ) async throws(ModelUnavailable) -> Reply {
    try await room.enter(until: deadline)
    defer { room.leave() }
    guard let permit = breaker.withLock({ $0.admit(at: surroundings.now()) }) else { throw .circuitOpen }
    let begin = ContinuousClock.now
    let end = min(begin + endpoint.attemptTimeout, deadline)
    let exchanged = await result(before: end) { await self.exchange(request) }
    let reply = exchanged ?? .failed(Task.isCancelled && ContinuousClock.now < end ? .cancelled : .timedOut)
    // A server that got less than half its time is not to blame.
    let hadTime = end - begin >= endpoint.attemptTimeout / 2
    breaker.withLock { $0.record(reply.outcome(hadTime: hadTime), of: permit, at: surroundings.now()) }
    if case .failed(.cancelled) = reply { throw .cancelled }
    return reply
  }

  private func exchange<Answer>(_ question: ModelRequest<Answer>) async -> Reply {
    var request = HTTPClientRequest(url: endpoint.url + question.path)
    request.method = .POST
    request.headers = ["content-type": "application/json", "accept": "application/json", "user-agent": "casa"]
    if let key = endpoint.apiKey { request.headers.add(name: "authorization", value: key.authorization) }
    request.body = .bytes(ByteBuffer(bytes: question.body))
    let response: HTTPClientResponse
    do {
      // Whoever waits for this task cancels it in time; the deadline only bounds what cancellation does not reach.
      response = try await http.execute(
        request, deadline: .now() + .nanoseconds(endpoint.attemptTimeout.wholeNanoseconds))
    } catch {
      return .failed(Self.failure(of: error, isConnected: false))
    }
    let status = Int(response.status.code)
    let pause = Backoff.retryAfter(response.headers.first(name: "retry-after"))
    // Of a refusal only the status counts, and that the connection can be used again.
    let limit = status == 200 ? question.maximumAnswerBytes : 16 << 10
    do {
      let body = try await response.body.collect(upTo: limit)
      return .answered(status: status, body: Array(body.readableBytesView), retryAfter: pause)
    } catch is NIOTooManyBytesError {
      return status == 200
        ? .failed(.malformedAnswer(.tooLarge)) : .answered(status: status, body: [], retryAfter: pause)
    } catch {
      return .failed(Self.failure(of: error, isConnected: true))
    }
  }

  private static func failure(of error: any Error, isConnected: Bool) -> ModelUnavailable {
    switch error {
    case is CancellationError: return .cancelled
    case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError: return .unreachable(.notTrusted)
    case let error as HTTPClientError:
      switch error {
      case .cancelled: return .cancelled
      case .deadlineExceeded, .connectTimeout, .readTimeout, .writeTimeout, .getConnectionFromPoolTimeout:
        return .timedOut
      case .tlsHandshakeTimeout: return .unreachable(.notTrusted)
      case .remoteConnectionClosed: return .unreachable(.closed)
      default: return .unreachable(isConnected ? .closed : .noConnection)
      }
    case HTTPParserError.invalidEOFState, HTTPParserError.closedConnection: return .unreachable(.closed)
    case is HTTPParserError: return .unreachable(.notHTTP)
    case is NIOConnectionError: return .unreachable(.noConnection)
    case let error as IOError where error.errnoCode == ECONNREFUSED: return .unreachable(.noConnection)
    default: return .unreachable(isConnected ? .closed : .noConnection)
    }
  }
}

extension ModelClient.Reply {
  /// What the breaker learns. Only what is the server's own doing counts as its failure: whoever writes what is judged
  /// must not be able to have it left alone for everyone else by texts that it refuses or answers strangely.
  fileprivate func outcome(hadTime: Bool) -> CircuitBreaker.Outcome {
    switch self {
    case .answered(let status, _, _): status == 429 || status >= 500 ? .failed : .succeeded
    case .failed(.unreachable): .failed
    case .failed(.timedOut): hadTime ? .failed : .unknown
    case .failed(.malformedAnswer): .succeeded
    case .failed: .unknown
    }
  }
}

extension ModelUnavailable {
  /// Whether the same request, sent again, may come to something.
  var mayPass: Bool {
    switch self {
    case .unreachable(let failure): failure != .notTrusted
    case .timedOut, .malformedAnswer: true
    case .refused(let status): [408, 425, 429, 500, 502, 503, 504].contains(status)
    case .cancelled, .circuitOpen, .tooManyWaiting, .questionTooLarge: false
    }
  }
}

extension ModelEndpoint {
  /// For the HTTP client that asks models: certificates are verified against the system's authorities, no redirect is
  /// followed with a key in hand, and what is compressed is not unpacked.
  public static var clientConfiguration: HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(
      certificateVerification: .fullVerification, redirectConfiguration: .disallow, decompression: .disabled)
    configuration.timeout.connect = .seconds(1)
    // Beyond it requests of the client still wait, but `ConcurrencyLimit` lets fewer in.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
    // The pool would hide a refused connection until the deadline.
    configuration.connectionPool.retryConnectionEstablishment = false
    return configuration
  }
}

extension Duration {
  fileprivate var wholeNanoseconds: Int64 {
    components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
  }
}
