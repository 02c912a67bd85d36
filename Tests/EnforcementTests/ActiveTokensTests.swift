import CASACore
import Testing

@testable import Enforcement

private func hash(_ byte: UInt8) -> TokenHash { TokenHash(digest: [UInt8](repeating: byte, count: 32)) }

@Suite("What is remembered of introspections")
struct ActiveTokensTests {
  private let clock: TestClock
  private let cache: ActiveTokens

  init() {
    clock = TestClock()
    cache = ActiveTokens(clock: clock.wallClock)
  }

  private func claims(expiresIn lifetime: Duration) -> TokenClaims {
    TokenClaims(
      issuer: "i", subject: AppID("a"), audience: [], clientID: AppID("a"), issuedAt: TestClock.start,
      notBefore: TestClock.start, expiresAt: TestClock.start + lifetime, id: TokenID("t"), scope: .userInput,
      actors: [],
      masID: MASID("m"), userInputID: UserInputID("u"), traceID: nil, userInputSHA256: nil, tools: [], call: nil)
  }

  /// An answer that came at once.
  private func keep(_ claims: TokenClaims?, for hash: TokenHash) {
    cache.keep(claims, for: hash, askedAt: cache.forgettings)
  }

  @Test("knows an active token for 30 s")
  func active() {
    let claims = claims(expiresIn: .seconds(300))
    #expect(cache.isActive(hash(1)) == nil)
    keep(claims, for: hash(1))
    clock.advance(by: .milliseconds(29_999))
    #expect(cache.isActive(hash(1)) == true)
    #expect(cache.isActive(hash(2)) == nil)
    clock.advance(by: .milliseconds(1))
    #expect(cache.isActive(hash(1)) == nil)
  }

  @Test("knows nothing any more when the clock was set back")
  func setBack() {
    keep(claims(expiresIn: .seconds(300)), for: hash(1))
    clock.advance(by: .seconds(-1))
    #expect(cache.isActive(hash(1)) == nil)
  }

  @Test("never knows a token beyond its end")
  func expiry() {
    keep(claims(expiresIn: .seconds(5)), for: hash(1))
    clock.advance(by: .milliseconds(4999))
    #expect(cache.isActive(hash(1)) != nil)
    clock.advance(by: .milliseconds(1))
    #expect(cache.isActive(hash(1)) == nil)
    keep(claims(expiresIn: .seconds(-1)), for: hash(2))
    #expect(cache.isActive(hash(2)) == nil)
  }

  @Test("knows for 2 s that a token is not active")
  func inactive() {
    keep(nil, for: hash(1))
    clock.advance(by: .milliseconds(1999))
    #expect(cache.isActive(hash(1)) == false)
    clock.advance(by: .milliseconds(1))
    #expect(cache.isActive(hash(1)) == nil)
  }

  @Test("reading an answer does not lengthen its life")
  func reading() {
    keep(claims(expiresIn: .seconds(300)), for: hash(1))
    for _ in 0..<29 {
      clock.advance(by: .seconds(1))
      #expect(cache.isActive(hash(1)) != nil)
    }
    clock.advance(by: .seconds(1))
    #expect(cache.isActive(hash(1)) == nil)
  }

  @Test("a newer answer takes the place of an older one")
  func replacement() {
    keep(claims(expiresIn: .seconds(300)), for: hash(1))
    keep(nil, for: hash(1))
    #expect(cache.isActive(hash(1)) == false)
  }

  @Test("is forgotten by session, and nothing else with it")
  func forgetting() {
    var other = claims(expiresIn: .seconds(300))
    other.userInputID = UserInputID("v")
    keep(claims(expiresIn: .seconds(300)), for: hash(1))
    keep(other, for: hash(2))
    cache.forget([UserInputID("u")])
    #expect(cache.isActive(hash(1)) == nil)
    #expect(cache.isActive(hash(2)) == true)
    cache.forgetAll()
    #expect(cache.isActive(hash(2)) == nil)
  }

  @Test("keeps no answer that a revocation overtook, whichever session it was of")
  func overtaken() {
    for forget in [{ cache.forget([UserInputID("v")]) }, { cache.forgetAll() }] {
      let asked = cache.forgettings
      forget()
      cache.keep(claims(expiresIn: .seconds(300)), for: hash(1), askedAt: asked)
      #expect(cache.isActive(hash(1)) == nil)
    }
  }
}
