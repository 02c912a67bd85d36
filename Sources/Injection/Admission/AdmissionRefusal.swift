/// Why something may not be admitted, for whoever asked for it.
public struct AdmissionRefusal: Error, Sendable, Hashable, CustomStringConvertible {
  /// An HTTP status: 400 for what can't be read, 403 for what may not be.
  public let code: Int
  /// What was expected, what came, what to do; never what a Secret holds.
  public let reasons: [String]

  /// More reasons than these are counted only.
  static let maximumReasons = 12

  public init(_ reasons: [String], code: Int = 403) {
    self.code = code
    self.reasons = reasons
  }

  public init(_ reason: String, code: Int = 403) { self.init([reason], code: code) }

  init(malformed place: String, expected: String) {
    self.init("\(place) must be \(expected)", code: 400)
  }

  public var description: String {
    let told = reasons.prefix(Self.maximumReasons).map { $0.bounded(to: 400) }.joined(separator: "; ")
    let more = reasons.count - Self.maximumReasons
    return more > 0 ? "\(told); and \(more) more" : told
  }
}

extension String {
  /// At most so many bytes of it, with marks for what would not show on one line.
  func bounded(to bytes: Int) -> String {
    var text = ""
    for scalar in unicodeScalars {
      guard text.utf8.count < bytes else { return text + "…" }
      text.unicodeScalars.append(scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
    }
    return text
  }
}
