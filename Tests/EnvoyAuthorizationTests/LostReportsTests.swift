import Testing

@testable import EnvoyAuthorization

@Suite("The count of lost reports")
struct LostReportsTests {
  @Test("is told once, and again when it has grown to twice as many")
  func tells() {
    var lost = LostReports()
    #expect(lost.news() == nil)
    lost.add(3)
    #expect(lost.news() == 3)
    #expect(lost.news() == nil)
    lost.add(2)
    #expect(lost.news() == nil)
    lost.add(1)
    #expect(lost.news() == 6)
    #expect(lost.news() == nil)
  }

  @Test("begins anew when the runtime is reached")
  func resets() {
    var lost = LostReports()
    lost.add(1000)
    #expect(lost.news() == 1000)
    lost.reset()
    #expect(lost.news() == nil)
    lost.add(1)
    #expect(lost.news() == 1)
  }
}
