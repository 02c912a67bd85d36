import AgentProtocols
import CASACore
import Crypto

/// Finds whose words a text holds. Of the words themselves only digests are kept.
///
/// Words of 16 bytes and more are found wherever they stand in a text; shorter ones only as the whole of it. White
/// space around them does not count: programs strip it.
struct TextIndex: Sendable {
  /// The words with one beginning.
  private struct Alike: Sendable {
    /// How many texts there are of each length, in bytes.
    var lengths: [Int: Int] = [:]
    var traces: [[UInt8]: [TraceID]] = [:]
  }

  private static let windowBytes = 16
  /// Of words that are compared in one search. A text that would take more is one that somebody made for it.
  private static let maximumComparedBytes = 16 << 20

  private var byBeginning: [UInt64: Alike] = [:]
  /// The length of the words with a digest.
  private var lengths: [[UInt8]: Int] = [:]

  /// What was found.
  enum Finding: Equatable, Sendable {
    case none
    case one(TraceID)
    case several
  }

  mutating func insert(_ text: String, for trace: TraceID) {
    let bytes = Self.stripped(Array(text.utf8))
    guard !bytes.isEmpty else { return }
    let (key, digest) = (Self.key(bytes), Self.digest(bytes))
    guard !(byBeginning[key]?.traces[digest]?.contains(trace) ?? false) else { return }
    byBeginning[key, default: Alike()].traces[digest, default: []].append(trace)
    byBeginning[key]?.lengths[bytes.count, default: 0] += 1
    lengths[digest] = bytes.count
  }

  mutating func remove(where isGone: (TraceID) -> Bool) {
    for (key, alike) in byBeginning {
      var left = alike
      for (digest, traces) in alike.traces {
        let kept = traces.filter { !isGone($0) }
        guard kept.count < traces.count, let length = lengths[digest] else { continue }
        left.traces[digest] = kept.isEmpty ? nil : kept
        let count = (left.lengths[length] ?? 0) - (traces.count - kept.count)
        left.lengths[length] = count > 0 ? count : nil
        if kept.isEmpty { lengths[digest] = nil }
      }
      byBeginning[key] = left.traces.isEmpty ? nil : left
    }
  }

  /// Whose words `texts` hold: exactly one session's, or it is not known. Words that stand only within other words
  /// that were found are not counted: "pay 1" is not what a text with "pay 12" holds.
  func find(in texts: [String], among isLive: (TraceID) -> Bool) -> Finding {
    var found: Set<TraceID> = []
    var compared = 0
    for text in texts {
      let bytes = Self.stripped(Array(text.utf8))
      if bytes.count < Self.windowBytes {
        found.formUnion(byBeginning[Self.key(bytes)]?.traces[Self.digest(bytes)]?.filter(isLive) ?? [])
        continue
      }
      var matches: [(range: Range<Int>, trace: TraceID)] = []
      for start in bytes.startIndex...(bytes.endIndex - Self.windowBytes) {
        guard let alike = byBeginning[Self.key(bytes[start..<(start + Self.windowBytes)])] else { continue }
        for length in alike.lengths.keys where start + length <= bytes.endIndex {
          compared += length
          guard compared <= Self.maximumComparedBytes else { return .several }
          let range = start..<(start + length)
          for trace in alike.traces[Self.digest(bytes[range])] ?? [] where isLive(trace) {
            matches.append((range, trace))
          }
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
