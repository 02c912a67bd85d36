import CASACore
import Testing

@testable import Enforcement

@Suite("Remembered admissions")
struct RememberedAdmissionsTests {
  private func admission(_ number: Int, until seconds: Int64 = 10) throws -> RememberedAdmission {
    let key = try #require(RequestKey(fields: [], body: Array("request \(number)".utf8)))
    var admission = Admission()
    admission.decisionID = "\(number)"
    return RememberedAdmission(
      of: key, admission: admission, record: RepeatedRecord(RequestRecord(direction: .ingress), of: admission),
      until: Timestamp(milliseconds: 1000 * seconds))
  }

  @Test("are found by their own request only")
  func own() throws {
    var remembered = RememberedAdmissions()
    let (first, second) = (try admission(1), try admission(2))
    remembered.insert(first)
    #expect(remembered[first.key] === first)
    #expect(remembered[second.key] == nil)
    remembered.insert(second)
    #expect(remembered[first.key] === first)
    #expect(remembered[second.key] === second)
  }

  @Test("give way to a later one of the same request, which is then the only one")
  func replaced() throws {
    var remembered = RememberedAdmissions()
    remembered.insert(try admission(1))
    let later = try admission(1, until: 20)
    remembered.insert(later)
    #expect(remembered[later.key] === later)
    // The earlier one is nowhere: what comes last is found, also when it ends sooner.
    let shorter = try admission(1, until: 5)
    remembered.insert(shorter)
    #expect(remembered[shorter.key] === shorter)
  }

  @Test("are never more than their bound, and those that end soonest go first")
  func bound() throws {
    var remembered = RememberedAdmissions()
    let count = 20 * RememberedAdmissions.capacity
    let all = try (0..<count).map { try admission($0, until: Int64(count - $0)) }
    for admission in all { remembered.insert(admission) }
    let kept = all.filter { remembered[$0.key] === $0 }
    #expect(kept.count == RememberedAdmissions.capacity)
    // The first three of every four last longest; the fourth is whichever came last.
    let half = Timestamp(milliseconds: 1000 * Int64(count / 2))
    #expect(kept.count(where: { $0.until > half }) == RememberedAdmissions.capacity * 3 / 4)
    // What came last took the place of the one that ended soonest, though it ends sooner still.
    let last = try #require(all.last)
    #expect(remembered[last.key] === last)
  }
}
