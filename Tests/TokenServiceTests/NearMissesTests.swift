import CASACore
import SeededRandom
import Testing

@testable import TokenService

@Suite("Near misses of a session")
struct NearMissesTests {
  private static let start = Timestamp(seconds: 1_800_000_000)

  private func nearMisses(_ count: Int, at now: Timestamp = start) -> NearMisses {
    var nearMisses = NearMisses()
    for _ in 0..<count { nearMisses.record(at: now) }
    return nearMisses
  }

  @Test("make calls wait twice as long each time, and never longer than a minute")
  func growth() {
    #expect((0...8).map { nearMisses($0).pause(at: Self.start) } == [nil, 1, 2, 4, 8, 16, 32, 60, 60])
    #expect(nearMisses(1000).pause(at: Self.start) == 60)
  }

  @Test("make no call wait once the time has passed, to the millisecond")
  func end() {
    let three = nearMisses(3)
    #expect(three.pause(at: Self.start + .milliseconds(3001)) == 1)
    #expect(three.pause(at: Self.start + .milliseconds(3999)) == 1)
    #expect(three.pause(at: Self.start + .seconds(4)) == nil)
  }

  @Test("make nobody wait longer when the clock is set back")
  func clockSetBack() {
    #expect(nearMisses(2).pause(at: Self.start - .seconds(86_400)) == 2)
  }

  @Test("are the same whoever counted them, in which order ever it is learned; and waiting always ends")
  func properties() {
    for seed in UInt64(0)..<200 {
      var random = SeededGenerator(seed: seed)
      let times = (0..<Int(random.next() % 12)).map { _ in
        Self.start + .milliseconds(Int64(random.next() % 100_000))
      }
      var forwards = NearMisses()
      var backwards = NearMisses()
      for time in times { forwards.record(at: time) }
      for time in times.reversed() { backwards.record(at: time) }
      #expect(forwards == backwards)
      var known = NearMisses()
      for time in times.prefix(Int(random.next() % 12)) { known.record(at: time) }
      var (merged, reversed) = (known, forwards)
      merged.merge(forwards)
      reversed.merge(known)
      #expect(merged == forwards)
      #expect(reversed == forwards)
      guard let last = times.max() else { continue }
      let now = Self.start + .milliseconds(Int64(random.next() % 200_000))
      let pause = forwards.pause(at: now)
      #expect((1...60).contains(pause ?? 1))
      #expect(forwards.pause(at: max(now, last) + .seconds(pause ?? 0)) == nil)
      #expect(forwards.pause(at: last + .seconds(60)) == nil)
    }
  }
}
