import Testing

@testable import EnvoyAuthorization

@Suite("Whether the runtime is reached")
struct RuntimeContactTests {
  @Test("is news when it changes, and when the first question finds nobody")
  func news() {
    let contact = RuntimeContact()
    #expect(!contact.isReachable)
    for _ in 0..<2 {
      let (first, second) = (contact.gaveNoAnswer(), contact.gaveNoAnswer())
      #expect(first && !second)
      #expect(!contact.isReachable)
      let (back, still) = (contact.answered(isAble: true), contact.answered(isAble: true))
      #expect(back && !still)
      #expect(contact.isReachable)
    }
  }

  @Test("is no news at the first answer, and an answer that decides nothing is none to go by")
  func unable() {
    let contact = RuntimeContact()
    let first = contact.answered(isAble: false)
    #expect(!first)
    #expect(!contact.isReachable)
  }
}
