/// How many events of the kernel's buffer were lost, as far as it was reported: kept on the disk, so that each is
/// counted once, also when the guard is started again.
struct ReportedLosses: Sendable {
  private let path: String
  private var source: UInt64 = 0
  private var count: UInt64 = 0

  /// Reads what was kept; nothing, when there is none or it can't be read.
  init(directory: String) {
    path = directory + "/losses"
    guard let bytes = try? BoundedFile.read(path, maximumBytes: 64) else { return }
    let numbers = String(decoding: bytes, as: UTF8.self).split(separator: " ").map { UInt64($0) }
    guard numbers.count == 2, let source = numbers[0], let count = numbers[1] else { return }
    (self.source, self.count) = (source, count)
  }

  /// - Parameter source: which buffer; a new one begins with none.
  func count(of source: UInt64) -> UInt64 { source == self.source ? count : 0 }

  mutating func set(_ count: UInt64, of source: UInt64) throws {
    (self.source, self.count) = (source, count)
    try AtomicFile.replace(path, with: Array("\(source) \(count)".utf8))
  }
}
