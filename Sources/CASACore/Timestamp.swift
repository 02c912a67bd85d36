/// A moment in milliseconds since 1970-01-01 UTC.
public struct Timestamp: Sendable, Hashable, Comparable {
  public var milliseconds: Int64

  public init(milliseconds: Int64) { self.milliseconds = milliseconds }
  /// A JWT NumericDate (RFC 7519 section 2), in whole seconds.
  public init(seconds: Int64) { milliseconds = seconds * 1000 }

  /// Whole seconds, rounded down.
  public var seconds: Int64 { milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000 }

  public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }
  public static func + (moment: Self, interval: Duration) -> Self {
    Timestamp(milliseconds: moment.milliseconds + interval.wholeMilliseconds)
  }
  public static func - (moment: Self, interval: Duration) -> Self {
    Timestamp(milliseconds: moment.milliseconds - interval.wholeMilliseconds)
  }

  /// RFC 3339 in UTC with milliseconds, such as `2026-01-31T12:00:00.000Z`.
  public var rfc3339: String {
    var days = milliseconds / 86_400_000
    var rest = milliseconds % 86_400_000
    if rest < 0 {
      rest += 86_400_000
      days -= 1
    }
    // Civil date from days since the epoch, counting years from March so that a leap day ends one.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func padded(_ value: Int64, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
      + "\(padded(rest / 3_600_000, 2)):\(padded(rest / 60_000 % 60, 2)):\(padded(rest / 1000 % 60, 2))"
      + ".\(padded(rest % 1000, 3))Z"
  }
}

extension Timestamp {
  /// Reads a moment as a query names it: RFC 3339, or whole milliseconds since 1970, up to the end of the year 9999;
  /// nil for anything else.
  public init?(queried text: String) {
    if let moment = Timestamp(rfc3339: text) {
      self = moment
    } else if let milliseconds = Int64(text), (0...253_402_300_799_999).contains(milliseconds) {
      self.init(milliseconds: milliseconds)
    } else {
      return nil
    }
  }

  /// Reads RFC 3339 in UTC from the year 1970 on, with up to milliseconds, such as `2026-01-31T12:00:00Z`; nil for
  /// anything else.
  public init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    guard (20...24).contains(bytes.count), bytes.last == UInt8(ascii: "Z") else { return nil }
    func number(_ range: Range<Int>) -> Int64? {
      var value: Int64 = 0
      for byte in bytes[range] {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
      }
      return value
    }
    for (place, mark) in zip([4, 7, 10, 13, 16], "--T::".utf8) where bytes[place] != mark { return nil }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19), year >= 1970, (1...12).contains(month),
      (1...31).contains(day), hour < 24, minute < 60, second < 60
    else { return nil }
    var milliseconds: Int64 = 0
    if bytes.count > 20 {
      guard bytes[19] == UInt8(ascii: "."), bytes.count > 21, let fraction = number(20..<(bytes.count - 1)) else {
        return nil
      }
      milliseconds = fraction * [100, 10, 1][bytes.count - 22]
    }
    // Days since the epoch, counting years from March so that a leap day ends one.
    let shiftedYear = month <= 2 ? year - 1 : year
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let days = 365 * shiftedYear + shiftedYear / 4 - shiftedYear / 100 + shiftedYear / 400 + dayOfYear - 719_468
    self.init(milliseconds: ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milliseconds)
    // What no calendar has, such as 30 February, comes out as another day.
    guard Array(rfc3339.utf8.prefix(10)) == Array(bytes.prefix(10)) else { return nil }
  }
}
