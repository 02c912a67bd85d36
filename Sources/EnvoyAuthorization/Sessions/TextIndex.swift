import AgentProtocols
import CASACore
import Crypto

/// Finds whose words a text holds. Of the words themselves only digests are kept.
///
/// Words of 16 bytes and more are found wherever they stand in a text; shorter ones only as the whole of it. White
/// space around them does not count: programs strip it.
struct TextIndex: Sendable {
  /// Of a text, and so of all its words.
  private struct Digest: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    init(_ bytes: ArraySlice<UInt8>) {
      func word(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
      let hash = SHA256.hash(data: bytes)
      high = word(hash.prefix(8))
      low = word(hash.dropFirst(8).prefix(8))
    }
  }

  /// Whose words they are: hardly ever more than one session's.
  private struct Owners: Sendable {
    /// Of the words, by which `lengths` knows them.
    let key: UInt64
    let length: UInt32
    private var first: TraceID?
    private var others: Set<TraceID>?

    init(key: UInt64, length: UInt32, trace: TraceID) { (self.key, self.length, first) = (key, length, trace) }

    var isEmpty: Bool { first == nil && others == nil }

    mutating func add(_ trace: TraceID) {
      if first == nil || first == trace {
        first = trace
      } else if others?.insert(trace) == nil {
        others = [trace]
      }
    }

    mutating func remove(where isGone: (TraceID) -> Bool) {
      if first.map(isGone) ?? false { first = nil }
      if let some = others {
        let left = some.filter { !isGone($0) }
        others = left.isEmpty ? nil : left
      }
    }

    /// No more than two: whose words they are is not known then.
    func some(among isLive: (TraceID) -> Bool) -> [TraceID] {
      var some: [TraceID] = []
      if let first, isLive(first) { some.append(first) }
      guard let others else { return some }
      for trace in others where trace != first && isLive(trace) {
        some.append(trace)
        if some.count >= 2 { break }
      }
      return some
    }
  }

  /// How many words of each length begin alike: hardly ever more than one.
  private enum Lengths: Sendable {
    case one(UInt32)
    case several([Int: Int])

    var all: [Int] {
      switch self {
      case .one(let length): [Int(length)]
      case .several(let counts): Array(counts.keys)
      }
    }

    mutating func add(_ length: Int) {
      switch self {
      case .one(let other): self = .several([Int(other): 1].merging([length: 1], uniquingKeysWith: +))
      case .several(var counts):
        counts[length, default: 0] += 1
        self = .several(counts)
      }
    }

    /// - Returns: nil when none are left.
    func without(_ length: Int) -> Lengths? {
      guard case .several(var counts) = self else { return nil }
      counts[length] = counts[length].flatMap { $0 > 1 ? $0 - 1 : nil }
      return counts.isEmpty ? nil : .several(counts)
    }
  }

  private static let windowBytes = 16
  /// Of words that are compared in one search. A text that would take more is one that somebody made for it.
  private static let maximumComparedBytes = 16 << 20

  private var owners: [Digest: Owners] = [:]
  private var lengths: [UInt64: Lengths] = [:]

  /// What was found.
  enum Finding: Equatable, Sendable {
    case none
    case one(TraceID)
    case several
  }

  mutating func insert(_ text: String, for trace: TraceID) {
    let bytes = Self.stripped(Array(text.utf8))
    guard !bytes.isEmpty, bytes.count <= Self.maximumComparedBytes else { return }
    let digest = Digest(bytes)
    if owners[digest]?.add(trace) != nil { return }
    let key = Self.key(bytes)
    owners[digest] = Owners(key: key, length: UInt32(bytes.count), trace: trace)
    if lengths[key]?.add(bytes.count) == nil { lengths[key] = .one(UInt32(bytes.count)) }
  }

  mutating func remove(where isGone: (TraceID) -> Bool) {
    for digest in owners.keys {
      owners[digest]?.remove(where: isGone)
      guard let known = owners[digest], known.isEmpty else { continue }
      owners[digest] = nil
      lengths[known.key] = lengths[known.key]?.without(Int(known.length))
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
        found.formUnion(owners[Digest(bytes)]?.some(among: isLive) ?? [])
        continue
      }
      var matches: [(range: Range<Int>, trace: TraceID)] = []
      for start in bytes.startIndex...(bytes.endIndex - Self.windowBytes) {
        guard let alike = lengths[Self.key(bytes[start..<(start + Self.windowBytes)])] else { continue }
        for length in alike.all where start + length <= bytes.endIndex {
          compared += length
          guard compared <= Self.maximumComparedBytes else { return .several }
          let range = start..<(start + length)
          for trace in owners[Digest(bytes[range])]?.some(among: isLive) ?? [] { matches.append((range, trace)) }
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

  /// Of the first 16 bytes, or of a shorter whole with its length (FNV-1a over two words, so cheap that every place
  /// of a long conversation can be looked up).
  private static func key(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes.prefix(windowBytes) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return bytes.count < windowBytes ? hash ^ UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15 : hash
  }
}
