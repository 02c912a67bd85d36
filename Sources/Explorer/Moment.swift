internal import CASACore

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
