import SeededRandom
import Testing

@testable import IntentChecks

extension CircuitBreaker {
  fileprivate mutating func permit(at now: Instant) throws -> Permit {
    let permit = admit(at: now)
    return try #require(permit)
  }

  fileprivate mutating func expectOpen(at now: Instant, sourceLocation: SourceLocation = #_sourceLocation) {
    let permit = admit(at: now)
    #expect(permit == nil, sourceLocation: sourceLocation)
  }

  fileprivate mutating func expectAdmits(
    at now: Instant, asProbe: Bool? = nil, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let permit = admit(at: now)
    #expect(permit != nil, sourceLocation: sourceLocation)
    if let asProbe { #expect(permit?.isProbe == asProbe, sourceLocation: sourceLocation) }
  }
}

@Suite("The circuit breaker")
struct CircuitBreakerTests {
  private let begin = ContinuousClock.now

  private func opened(at now: ContinuousClock.Instant) throws -> CircuitBreaker {
    var breaker = CircuitBreaker(threshold: 3, shortestPause: .seconds(1), longestPause: .seconds(3))
    for _ in 0..<3 { breaker.record(.failed, of: try breaker.permit(at: now), at: now) }
    return breaker
  }

  @Test("opens after so many failures in a row, and lets nothing through until its pause is over")
  func opens() throws {
    var breaker = try opened(at: begin)
    breaker.expectOpen(at: begin)
    breaker.expectOpen(at: begin + .milliseconds(999))
    breaker.expectAdmits(at: begin + .seconds(1), asProbe: true)
  }

  @Test("stays closed when successes come between the failures, or nothing is known of what came of a request")
  func staysClosed() throws {
    var breaker = CircuitBreaker(threshold: 2)
    for outcome in [CircuitBreaker.Outcome.failed, .succeeded, .failed, .succeeded, .unknown, .unknown, .failed] {
      breaker.record(outcome, of: try breaker.permit(at: begin), at: begin)
    }
    breaker.expectAdmits(at: begin)
  }

  @Test("lets one request find out, and closes when it succeeds")
  func probe() throws {
    var breaker = try opened(at: begin)
    let later = begin + .seconds(1)
    let probe = try breaker.permit(at: later)
    breaker.expectOpen(at: later)
    breaker.expectOpen(at: later + .seconds(60))
    breaker.record(.succeeded, of: probe, at: later)
    breaker.expectAdmits(at: later, asProbe: false)
    breaker.expectAdmits(at: later, asProbe: false)
  }

  @Test("is open twice as long after each probe that fails, up to a bound")
  func longerPauses() throws {
    var breaker = try opened(at: begin)
    var now = begin + .seconds(1)
    for pause in [2, 3, 3] {
      breaker.record(.failed, of: try breaker.permit(at: now), at: now)
      breaker.expectOpen(at: now + .seconds(pause) - .milliseconds(1))
      now += .seconds(pause)
    }
    breaker.expectAdmits(at: now)
  }

  @Test("lets another find out when whoever was to went away")
  func abandonedProbe() throws {
    var breaker = try opened(at: begin)
    let now = begin + .seconds(1)
    breaker.record(.unknown, of: try breaker.permit(at: now), at: now)
    breaker.expectAdmits(at: now, asProbe: true)
  }

  @Test("is not moved by what was sent before it opened")
  func lateOutcomes() throws {
    var breaker = CircuitBreaker(threshold: 1, shortestPause: .seconds(1), longestPause: .seconds(1))
    let late = try breaker.permit(at: begin)
    breaker.record(.failed, of: try breaker.permit(at: begin), at: begin)
    breaker.record(.succeeded, of: late, at: begin)
    breaker.expectOpen(at: begin)
    let now = begin + .seconds(1)
    let probe = try breaker.permit(at: now)
    breaker.record(.failed, of: late, at: now)
    breaker.record(.succeeded, of: probe, at: now)
    breaker.expectAdmits(at: now)
  }

  @Test(
    "lets through at most one request while it is not closed, whatever happens",
    arguments: 1...40 as ClosedRange<UInt64>)
  func anyHistory(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var breaker = CircuitBreaker(threshold: 2, shortestPause: .seconds(1), longestPause: .seconds(8))
    var now = begin
    var out: [CircuitBreaker.Permit] = []
    for _ in 0..<2000 {
      now += .milliseconds(Int.random(in: 0...600, using: &generator))
      if Bool.random(using: &generator) {
        guard let permit = breaker.admit(at: now) else { continue }
        if permit.isProbe {
          breaker.expectOpen(at: now + .seconds(100))
        }
        out.append(permit)
      } else if let index = out.indices.randomElement(using: &generator) {
        let outcome = try #require(CircuitBreaker.Outcome.allCases.randomElement(using: &generator))
        breaker.record(outcome, of: out.remove(at: index), at: now)
      }
    }
    // Whatever was before: once all is answered and time has passed, somebody is let through.
    for permit in out { breaker.record(.unknown, of: permit, at: now) }
    breaker.expectAdmits(at: now + .seconds(8))
  }
}

@Suite("Repeating requests")
struct RepetitionTests {
  @Test("takes at most one retry in five requests beyond the reserve", arguments: 1...20 as ClosedRange<UInt64>)
  func budget(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var budget = RetryBudget()
    var (requests, retries) = (0, 0)
    for _ in 0..<5000 {
      if Bool.random(using: &generator) {
        budget.deposit()
        requests += 1
      } else if budget.withdraw() {
        retries += 1
      }
      #expect(retries <= RetryBudget.reserve + requests / RetryBudget.requestsPerRetry)
    }
    #expect(retries >= requests / RetryBudget.requestsPerRetry / 2, "an unused budget is no budget")
  }

  @Test("saves up no more than the capacity")
  func capacity() {
    var budget = RetryBudget()
    for _ in 0..<10_000 { budget.deposit() }
    var retries = 0
    while budget.withdraw() { retries += 1 }
    #expect(retries == RetryBudget.capacity)
  }

  @Test("waits twice as long each time, between half and the whole of it, and never longer than the bound")
  func backoff() {
    let backoff = Backoff(first: .milliseconds(100), longest: .seconds(1))
    for (attempt, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (1000, 1000), (.max, 1000), (0, 100)] {
      #expect(backoff.pause(after: attempt, jitter: 0) == .milliseconds(whole / 2))
      #expect(backoff.pause(after: attempt, jitter: 1) == .milliseconds(whole))
      #expect(backoff.pause(after: attempt, jitter: 7) == .milliseconds(whole))
      #expect(backoff.pause(after: attempt, jitter: -7) == .milliseconds(whole / 2))
    }
    #expect(backoff.pause(after: 1, jitter: 1, retryAfter: .seconds(3)) == .milliseconds(3100))
  }

  @Test("reads the seconds of Retry-After and nothing else")
  func retryAfter() {
    #expect(Backoff.retryAfter("2") == .seconds(2))
    #expect(Backoff.retryAfter("99999") == .seconds(86_400))
    for text in [nil, "", "-1", "1.5", "100000", " 1", "+1", "Fri, 31 Dec 1999 23:59:59 GMT", "1e9"] {
      #expect(Backoff.retryAfter(text) == nil)
    }
  }
}
