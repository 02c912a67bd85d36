import CASACore
import Testing

@Suite("A timestamp")
struct TimestampTests {
  @Test(
    "is written as RFC 3339 has it",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (1, "1970-01-01T00:00:00.001Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (951_782_399_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
      (951_868_800_000, "2000-03-01T00:00:00.000Z"), (1_078_012_800_000, "2004-02-29T00:00:00.000Z"),
      (1_109_635_199_000, "2005-02-28T23:59:59.000Z"), (1_109_635_200_000, "2005-03-01T00:00:00.000Z"),
      (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (4_107_456_000_000, "2100-02-28T00:00:00.000Z"),
      (1_234_567_890_123, "2009-02-13T23:31:30.123Z"), (1_483_228_799_999, "2016-12-31T23:59:59.999Z"),
      (1_769_860_800_000, "2026-01-31T12:00:00.000Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
      (-2_208_988_800_000, "1900-01-01T00:00:00.000Z"), (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    ] as [(Int64, String)])
  func rfc3339(milliseconds: Int64, text: String) { #expect(Timestamp(milliseconds: milliseconds).rfc3339 == text) }

  @Test("is written in the order of time")
  func order() {
    var moment = Timestamp(milliseconds: -70_000_000_000)
    var before = moment.rfc3339
    for _ in 0..<5000 {
      moment = moment + .milliseconds(863_999_999)
      #expect(before < moment.rfc3339)
      before = moment.rfc3339
    }
  }

  @Test("has whole seconds, rounded down")
  func seconds() {
    #expect(Timestamp(milliseconds: 1999).seconds == 1)
    #expect(Timestamp(milliseconds: 0).seconds == 0)
    #expect(Timestamp(milliseconds: -1).seconds == -1)
    #expect(Timestamp(milliseconds: -1000).seconds == -1)
    #expect(Timestamp(seconds: 7).milliseconds == 7000)
  }

  @Test("moves by durations")
  func arithmetic() {
    let moment = Timestamp(milliseconds: 1000)
    #expect(moment + .milliseconds(1) == Timestamp(milliseconds: 1001))
    #expect(moment - .seconds(2) == Timestamp(milliseconds: -1000))
    #expect(moment < moment + .milliseconds(1))
    #expect(Duration.seconds(1.5).wholeMilliseconds == 1500)
    #expect(Duration.microseconds(1500).inMilliseconds == 1.5)
  }

  @Test("comes from the machine's clock when nothing else is handed in")
  func system() {
    let now = WallClock.system.now()
    #expect(now > Timestamp(seconds: 1_700_000_000))
    #expect(WallClock.system.now() >= now)
  }
}
