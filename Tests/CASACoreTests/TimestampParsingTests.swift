import CASACore
import Testing

@Suite("Reading moments")
struct TimestampParsingTests {
  @Test("takes what it writes, for random moments from 1970 to 2500")
  func roundTrip() {
    for _ in 0..<10_000 {
      let moment = Timestamp(milliseconds: Int64.random(in: 0..<16_725_225_600_000))
      #expect(Timestamp(rfc3339: moment.rfc3339) == moment)
    }
  }

  @Test(
    "takes seconds and shorter fractions",
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:00:00Z", 1_709_208_000_000), ("1970-01-01T00:00:01.5Z", 1500),
      ("1970-01-01T00:00:01.25Z", 1250),
    ])
  func forms(text: String, milliseconds: Int64) { #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds) }

  @Test(
    "refuses everything else",
    arguments: [
      "", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-02-30T00:00:00Z",
      "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
      "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234Z", "2026/01/01T00:00:00Z", "1969-12-31T23:59:59Z",
      "２０２６-01-01T00:00:00Z", "2026-01-01T00:00:0xZ", "2026-01-32T00:00:00Z",
    ])
  func refused(text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}
