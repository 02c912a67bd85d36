/// Cuts the bytes of a watch into lines, one event each.
struct WatchLines: Sendable {
  /// etcd stores up to 1.5 MiB of an object; escapes can make more of it.
  static let maximumBytes = 4 << 20

  private let maximumBytes: Int
  private var bytes: [UInt8] = []
  /// Before it there is no end of a line.
  private var searched = 0
  private var start = 0

  init(maximumBytes: Int = WatchLines.maximumBytes) { self.maximumBytes = maximumBytes }

  mutating func append(_ part: some Sequence<UInt8>) {
    if start > 0 {
      bytes.removeFirst(start)
      searched -= start
      start = 0
    }
    bytes.append(contentsOf: part)
  }

  /// The next whole line that is not empty, without its end; nil while there is none.
  /// - Throws: `KubernetesError.malformed` for a line that is too long.
  mutating func next() throws(KubernetesError) -> [UInt8]? {
    while searched < bytes.count {
      guard let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
        searched = bytes.count
        break
      }
      let line = bytes[start..<end]
      (start, searched) = (end + 1, end + 1)
      guard line.count <= maximumBytes else { throw tooLong }
      if line.contains(where: { $0 != 0x0D && $0 != 0x20 }) { return Array(line) }
    }
    guard bytes.count - start <= maximumBytes else { throw tooLong }
    return nil
  }

  /// - Throws: `KubernetesError.malformed` when the watch ended within an event.
  func end() throws(KubernetesError) {
    guard start == bytes.count else { throw .malformed("the watch ended within an event") }
  }

  private var tooLong: KubernetesError { .malformed("an event is longer than \(maximumBytes) bytes") }
}
