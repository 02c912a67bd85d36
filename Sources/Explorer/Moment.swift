internal import CASACore

extension Timestamp {
  /// Reads RFC 3339 in UTC, as the trace writes it; nil for anything else.
  init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20, bytes.count <= 30, bytes.last == UInt8(ascii: "Z") else { return nil }
    func number(_ start: Int, _ length: Int) -> Int64? {
      var value: Int64 = 0
      for byte in bytes[start..<(start + length)] {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
      }
      return value
    }
    guard bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: "T"),
      bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"), let year = number(0, 4), let month = number(5, 2),
      let day = number(8, 2), let hour = number(11, 2), let minute = number(14, 2), let second = number(17, 2),
      (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    var fraction: Int64 = 0
    if bytes[19] == UInt8(ascii: ".") {
      guard bytes.count >= 22, let digits = number(20, bytes.count - 21) else { return nil }
      fraction = digits
      var width = bytes.count - 21
      while width > 3 {
        fraction /= 10
        width -= 1
      }
      while width < 3 {
        fraction *= 10
        width += 1
      }
    } else if bytes.count != 20 {
      return nil
    }
    // Days since the epoch of a civil date, counting years from March so that a leap day ends one.
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    self.init(milliseconds: ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fraction)
  }
}

/// A moment as it stands in a page: exact for machines, short for people, always in UTC.
enum Moment {
  static func view(_ text: String) -> View? {
    guard let time = Timestamp(rfc3339: text) else { return nil }
    return ["iso": text, "text": full(time)]
  }

  /// `2026-01-31 12:00:00`.
  static func full(_ time: Timestamp) -> String {
    let text = time.rfc3339
    return text.prefix(10) + " " + text.dropFirst(11).prefix(8)
  }

  /// How long something took or lay apart, in the unit that reads best.
  static func duration(milliseconds: Double) -> String {
    switch abs(milliseconds) {
    case 0: "0 ms"
    case ..<1: "\(Decimal.short(milliseconds, places: 2)) ms"
    case ..<100: "\(Decimal.short(milliseconds, places: 1)) ms"
    case ..<1000: "\(Decimal.short(milliseconds, places: 0)) ms"
    case ..<60_000: "\(Decimal.short(milliseconds / 1000, places: 2)) s"
    case ..<3_600_000: "\(Decimal.short(milliseconds / 60_000, places: 1)) min"
    case ..<86_400_000: "\(Decimal.short(milliseconds / 3_600_000, places: 1)) h"
    default: "\(Decimal.short(milliseconds / 86_400_000, places: 1)) d"
    }
  }
}

/// Numbers as people read them.
enum Decimal {
  /// With so many decimal places, rounded.
  static func text(_ value: Double, places: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "–" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let sign = value < 0 && scaled != 0 ? "−" : ""
    let whole = scaled / Int64(scale)
    guard places > 0 else { return sign + String(whole) }
    let rest = String(scaled % Int64(scale))
    return sign + "\(whole)." + String(repeating: "0", count: places - rest.count) + rest
  }

  /// The same without zeros at the end.
  static func short(_ value: Double, places: Int) -> String {
    var text = text(value, places: places)
    guard text.contains(".") else { return text }
    while text.hasSuffix("0") { text.removeLast() }
    return text.hasSuffix(".") ? String(text.dropLast()) : text
  }

  /// A position in a drawing: at most one decimal place, with a plain minus sign.
  static func coordinate(_ value: Double) -> String {
    let text = text(value, places: 1)
    return text.hasPrefix("−") ? "-" + text.dropFirst() : text
  }

  /// A whole number with thin spaces between thousands.
  static func grouped(_ value: Int) -> String {
    let digits = String(abs(value))
    var output = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { output += "\u{A0}" }
      output.append(digit)
    }
    return (value < 0 ? "−" : "") + output
  }

  /// A count of bytes.
  static func bytes(_ value: Int) -> String {
    switch value {
    case ..<1024: "\(value) B"
    case ..<1_048_576: "\(text(Double(value) / 1024, places: 1)) KiB"
    default: "\(text(Double(value) / 1_048_576, places: 1)) MiB"
    }
  }
}
