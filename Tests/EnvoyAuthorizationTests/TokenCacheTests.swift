import CASACore
import Synchronization
import Testing

@testable import EnvoyAuthorization

/// A clock that stands still until a test moves it.
private final class TestClock: Sendable {
  static let start = Timestamp(seconds: 1_800_000_000)
  private let moment = Mutex(start)
  var wallClock: WallClock { WallClock { self.moment.withLock { $0 } } }
  func advance(by interval: Duration) { moment.withLock { $0 = $0 + interval } }
}

private func hash(_ byte: UInt8) -> TokenHash { TokenHash(digest: [UInt8](repeating: byte, count: 32)) }

@Suite("The cache of introspections")
struct IntrospectionCacheTests {
  private let clock: TestClock
  private let cache: IntrospectionCache

  init() {
    clock = TestClock()
    cache = IntrospectionCache(clock: clock.wallClock)
  }

  private func claims(expiresIn lifetime: Duration) -> TokenClaims {
    TokenClaims(
      issuer: "i", subject: AppID("a"), audience: [], clientID: AppID("a"), issuedAt: TestClock.start,
      notBefore: TestClock.start, expiresAt: TestClock.start + lifetime, id: TokenID("t"), scope: .userInput,
      actors: [],
      masID: MASID("m"), userInputID: UserInputID("u"), traceID: nil, userInputSHA256: nil, tools: [], call: nil)
  }

  @Test("knows an active token for 30 s")
  func active() {
    let claims = claims(expiresIn: .seconds(300))
    #expect(cache[hash(1)] == nil)
    cache.keep(claims, for: hash(1))
    clock.advance(by: .milliseconds(29_999))
    #expect(cache[hash(1)] == .some(.some(claims)))
    #expect(cache[hash(2)] == nil)
    clock.advance(by: .milliseconds(1))
    #expect(cache[hash(1)] == nil)
  }

  @Test("never knows a token beyond its end")
  func expiry() {
    cache.keep(claims(expiresIn: .seconds(5)), for: hash(1))
    clock.advance(by: .milliseconds(4999))
    #expect(cache[hash(1)] != nil)
    clock.advance(by: .milliseconds(1))
    #expect(cache[hash(1)] == nil)
    cache.keep(claims(expiresIn: .seconds(-1)), for: hash(2))
    #expect(cache[hash(2)] == nil)
  }

  @Test("knows for 2 s that a token is not active")
  func inactive() {
    cache.keep(nil, for: hash(1))
    clock.advance(by: .milliseconds(1999))
    #expect(cache[hash(1)] == .some(.none))
    clock.advance(by: .milliseconds(1))
    #expect(cache[hash(1)] == nil)
  }

  @Test("reading an answer does not lengthen its life")
  func reading() {
    cache.keep(claims(expiresIn: .seconds(300)), for: hash(1))
    for _ in 0..<29 {
      clock.advance(by: .seconds(1))
      #expect(cache[hash(1)] != nil)
    }
    clock.advance(by: .seconds(1))
    #expect(cache[hash(1)] == nil)
  }

  @Test("a newer answer takes the place of an older one")
  func replacement() {
    cache.keep(claims(expiresIn: .seconds(300)), for: hash(1))
    cache.keep(nil, for: hash(1))
    #expect(cache[hash(1)] == .some(.none))
  }
}

@Suite("The tokens of a workload's sessions")
struct SessionTokensTests {
  private let clock: TestClock
  private let tokens: SessionTokens
  private let trace = TraceID.random()

  init() {
    clock = TestClock()
    tokens = SessionTokens(clock: clock.wallClock)
  }

  private func token(_ text: String, expiresIn lifetime: Duration = .seconds(300)) -> SessionTokens.Held {
    SessionTokens.Held(
      compact: text, hash: hash(1), expiresAt: TestClock.start + lifetime, userInputID: nil, parent: nil)
  }

  @Test("are found by their trace and by what they are for")
  func uses() {
    tokens.hold(token("session"), for: .session, in: trace)
    tokens.hold(token("llm"), for: .llm, in: trace)
    tokens.hold(token("a"), for: .call(AppID("a")), in: trace)
    #expect(tokens.held(.session, in: trace)?.compact == "session")
    #expect(tokens.held(.llm, in: trace)?.compact == "llm")
    #expect(tokens.held(.call(AppID("a")), in: trace)?.compact == "a")
    #expect(tokens.held(.call(AppID("b")), in: trace) == nil)
    #expect(tokens.held(.session, in: .random()) == nil)
  }

  @Test("are not used in the last two seconds of their life")
  func expiry() {
    tokens.hold(token("t", expiresIn: .seconds(10)), for: .session, in: trace)
    clock.advance(by: .milliseconds(7999))
    #expect(tokens.held(.session, in: trace) != nil)
    clock.advance(by: .milliseconds(1))
    #expect(tokens.held(.session, in: trace) == nil)
  }

  @Test("give way to newer ones")
  func replacement() {
    tokens.hold(token("old"), for: .session, in: trace)
    tokens.hold(token("new"), for: .session, in: trace)
    #expect(tokens.held(.session, in: trace)?.compact == "new")
  }

  @Test("are bounded in number")
  func bound() {
    for _ in 0..<SessionTokens.capacity { tokens.hold(token("t"), for: .session, in: .random()) }
    tokens.hold(token("kept"), for: .session, in: trace)
    for _ in 0..<SessionTokens.capacity { tokens.hold(token("t"), for: .session, in: .random()) }
    #expect(tokens.held(.session, in: trace) == nil)
  }
}
