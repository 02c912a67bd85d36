import Crypto

/// One line of a segment: a digest of the rest, so that what was torn or damaged is never taken for a report, and then
/// a letter that says what it is.
enum SpoolLine: Sendable, Hashable {
  /// The first line of each segment: the newest position when it was begun.
  case head(SpoolPosition?)
  case report(SpoolPosition, json: String)
  /// Reports that were dropped.
  case loss(UInt64, json: String)

  var json: String? {
    switch self {
    case .head: nil
    case .report(_, let json), .loss(_, let json): json
    }
  }

  /// How many reports are lost with it.
  var weight: UInt64 {
    switch self {
    case .head: 0
    case .report: 1
    case .loss(let count, _): count
    }
  }

  var bytes: [UInt8] {
    let content =
      switch self {
      case .head(nil): "H"
      case .head(let position?): "H \(Self.text(position))"
      case .report(let position, let json): "R \(Self.text(position)) \(json)"
      case .loss(let count, let json): "L \(hexadecimal(count)) \(json)"
      }
    return Array((Self.digest(Array(content.utf8)) + " " + content + "\n").utf8)
  }

  /// Reads a line without its end; nil for what was never written so.
  init?(_ line: some Collection<UInt8>) {
    guard let space = line.firstIndex(of: 0x20) else { return nil }
    let content = Array(line[line.index(after: space)...])
    guard String(decoding: line[..<space], as: UTF8.self) == Self.digest(content) else { return nil }
    let fields = content.split(separator: 0x20, maxSplits: 3, omittingEmptySubsequences: false)
    let numbers = fields.dropFirst().prefix(2).map { UInt64(String(decoding: $0, as: UTF8.self), radix: 16) }
    switch (content.first, fields.count) {
    case (UInt8(ascii: "H"), 1): self = .head(nil)
    case (UInt8(ascii: "H"), 3):
      guard let source = numbers[0], let offset = numbers[1] else { return nil }
      self = .head(SpoolPosition(source: source, offset: offset))
    case (UInt8(ascii: "R"), 4):
      guard let source = numbers[0], let offset = numbers[1] else { return nil }
      self = .report(SpoolPosition(source: source, offset: offset), json: String(decoding: fields[3], as: UTF8.self))
    case (UInt8(ascii: "L"), 3...):
      guard let count = numbers[0] else { return nil }
      self = .loss(count, json: String(decoding: content.dropFirst(2 + 16 + 1), as: UTF8.self))
    default: return nil
    }
  }

  private static func text(_ position: SpoolPosition) -> String {
    hexadecimal(position.source) + " " + hexadecimal(position.offset)
  }

  static func digest(_ content: [UInt8]) -> String { hexadecimal(leadingDigits(SHA256.hash(data: content))) }
}
