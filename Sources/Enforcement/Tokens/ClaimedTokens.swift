import AgentProtocols
import CASACore
import Synchronization

/// Reads requests' tokens, and one that came lately only once.
public final class ClaimedTokens: Sendable {
  private let known: Mutex<GenerationalCache<String, ClaimedToken>>

  /// - Parameter capacity: how many tokens are kept; each takes about 4 KiB.
  public init(capacity: Int) { known = Mutex(GenerationalCache(capacity: capacity)) }

  func bearer(of request: InterceptedRequest) throws(Refusal) -> ClaimedToken {
    guard let value = try request.single("authorization") else {
      throw Refusal(.tokenMissing, "a call needs `Authorization: Bearer` with a token of the runtime")
    }
    if let token = known.withLock({ $0[value] }), haveSameBytes(value, token.fieldValue) { return token }
    guard let bearer = BearerCredentials(headerValue: value) else {
      throw Refusal(.tokenMalformed, "`Authorization` does not hold one token of the runtime")
    }
    let token = try ClaimedToken(compact: bearer.token, fieldValue: value)
    known.withLock { $0[value] = token }
    return token
  }
}
