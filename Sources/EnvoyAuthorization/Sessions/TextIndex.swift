import AgentProtocols
import CASACore
import Crypto

/// Finds whose words a text holds. Of the words themselves only digests are kept.
///
/// Words of 16 bytes and more are found wherever they stand in a text; shorter ones only as the whole of it. White
/// space around them does not count: programs strip it.
struct TextIndex: Sendable {
  private struct Entry: Sendable {
    let count: Int
    let digest: [UInt8]
    let trace: TraceID
  }

  private static let windowBytes = 16
  /// More texts with one beginning than this are not told apart: whoever has them is asked to say which it is.
  private static let maximumAlike = 256

  private var byBeginning: [UInt64: [Entry]] = [:]

  /// What was found.
  enum Finding: Equatable, Sendable {
    case none
    case one(TraceID)
    case several
  }

  mutating func insert(_ text: String, for trace: TraceID) {
    let bytes = Self.stripped(Array(text.utf8))
    guard !bytes.isEmpty else { return }
    let entry = Entry(count: bytes.count, digest: Self.digest(bytes), trace: trace)
    let key = Self.key(bytes)
    guard !(byBeginning[key]?.contains { $0.trace == trace && $0.digest == entry.digest } ?? false) else { return }
    byBeginning[key, default: []].append(entry)
  }

  mutating func remove(where isGone: (TraceID) -> Bool) {
    for (key, entries) in byBeginning {
      let left = entries.filter { !isGone($0.trace) }
      if left.count < entries.count { byBeginning[key] = left.isEmpty ? nil : left }
    }
  }

  /// Whose words `texts` hold: exactly one session's, or it is not known. Words that stand only within other words
  /// that were found are not counted: "pay 1" is not what a text with "pay 12" holds.
  func find(in texts: [String], among isLive: (TraceID) -> Bool) -> Finding {
    var found: Set<TraceID> = []
    for text in texts {
      let bytes = Self.stripped(Array(text.utf8))
      var matches: [(range: Range<Int>, trace: TraceID)] = []
      if bytes.count < Self.windowBytes {
        for entry in byBeginning[Self.key(bytes)] ?? [] where entry.count == bytes.count && isLive(entry.trace) {
          if entry.digest == Self.digest(bytes) { found.insert(entry.trace) }
        }
        continue
      }
      for start in 0...(bytes.count - Self.windowBytes) {
        guard let entries = byBeginning[Self.key(bytes[start..<(start + Self.windowBytes)])] else { continue }
        guard entries.count <= Self.maximumAlike else { return .several }
        for entry in entries where start + entry.count <= bytes.count && isLive(entry.trace) {
          let range = start..<(start + entry.count)
          if entry.digest == Self.digest(bytes[range]) { matches.append((range, entry.trace)) }
        }
      }
      // The longest at each place, from left to right.
      matches.sort { ($0.range.lowerBound, -$0.range.count) < ($1.range.lowerBound, -$1.range.count) }
      var covered: Range<Int>?
      for match in matches {
        if let covered, match.range != covered, match.range.upperBound <= covered.upperBound { continue }
        found.insert(match.trace)
        if match.range.upperBound > covered?.upperBound ?? 0 { covered = match.range }
      }
    }
    return found.count > 1 ? .several : found.first.map(Finding.one) ?? .none
  }

  private static func stripped(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    guard let first = bytes.firstIndex(where: { !isSpace($0) }), let last = bytes.lastIndex(where: { !isSpace($0) })
    else { return [] }
    return bytes[first...last]
  }

  private static func digest(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    Array(bytes.withUnsafeBytes { SHA256.hash(data: $0) }.prefix(16))
  }

  /// Of the first 16 bytes, or of a shorter whole with its length (FNV-1a over two words, so cheap that every place
  /// of a long conversation can be looked up).
  private static func key(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes.prefix(windowBytes) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return bytes.count < windowBytes ? hash ^ UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15 : hash
  }
}
