import AgentProtocols
import CASACore

/// Lines of a count, a space and a JSON object, which is empty for requests that left no record; the last one may end
/// in a line feed.
struct RecordLines: Sendable {
  private static let maximumLines = 10_000
  private static let maximumCount = 1_000_000_000

  let lines: [(count: Int, record: JSONValue)]

  /// nil when a single line is not as it must be.
  init?(parsing body: [UInt8]) {
    var lines: [(count: Int, record: JSONValue)] = []
    var parts = body.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if parts.last?.isEmpty ?? false { parts.removeLast() }
    guard parts.count <= Self.maximumLines else { return nil }
    for part in parts {
      guard let space = part.firstIndex(of: UInt8(ascii: " ")) else { return nil }
      let digits = part[..<space]
      guard (1...10).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != 0x30,
        let count = Int(String(decoding: digits, as: UTF8.self)), count <= Self.maximumCount,
        let record = try? JSONValue(parsing: Array(part[(space + 1)...])), record.object != nil
      else { return nil }
      lines.append((count, record))
    }
    self.lines = lines
  }
}
