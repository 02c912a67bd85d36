#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One file of the spool, of whole lines.
struct SpoolSegment: Sendable {
  let number: UInt64
  /// Of the lines that are known to be whole; nothing behind is read.
  private(set) var size: Int
  private let file: SpoolFile

  private static let ending = ".spool"
  /// How much is read at a time.
  private static let chunkBytes = 1 << 18

  /// The numbers of those in `directory`, the lowest first.
  /// - Throws: `FlowSpoolError`
  static func numbers(in directory: String) throws(FlowSpoolError) -> [UInt64] {
    guard let stream = opendir(directory) else { throw .failed("\(directory) can't be listed", errno) }
    defer { _ = closedir(stream) }
    var numbers: [UInt64] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw .failed("\(directory) can't be listed", errno) }
        return numbers.sorted()
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard name.hasSuffix(ending), let number = UInt64(name.dropLast(ending.count), radix: 16),
        (1...SpoolPlace.lastSegment).contains(number),
        name == hexadecimal(number) + ending
      else { continue }
      numbers.append(number)
    }
  }

  private static func path(_ directory: String, _ number: UInt64) -> String {
    directory + "/" + hexadecimal(number) + ending
  }

  /// Opens one that is there.
  /// - Throws: `FlowSpoolError`
  init(directory: String, number: UInt64) throws(FlowSpoolError) {
    self.number = number
    file = try SpoolFile(path: Self.path(directory, number), flags: O_RDWR)
    try file.restrict(to: 0o600)
    size = try file.size()
  }

  /// Makes a new one.
  /// - Parameter newest: the newest position so far.
  /// - Throws: `FlowSpoolError`; then there is none.
  init(
    directory: String, number: UInt64, newest: SpoolPosition?, folder: SpoolFile, write: SpoolFile.Write
  ) throws(FlowSpoolError) {
    self.number = number
    file = try SpoolFile(path: Self.path(directory, number), flags: O_RDWR | O_CREAT | O_TRUNC)
    size = 0
    do throws(FlowSpoolError) {
      try add(SpoolLine.head(newest).bytes, by: write)
      try folder.synchronize()
    } catch {
      _ = unlink(file.path)
      throw error
    }
  }

  /// - Throws: `FlowSpoolError`; then `restoreEnd` must be called.
  mutating func add(_ lines: [UInt8], by write: SpoolFile.Write) throws(FlowSpoolError) {
    try file.write(lines, at: size, by: write)
    size += lines.count
  }

  /// Takes back what `add` wrote in part. Whether that worked.
  func restoreEnd() -> Bool { file.truncate(to: size) }

  /// Takes away what follows the last end of a line. Whether there was something.
  /// - Throws: `FlowSpoolError`
  mutating func cutTornLine() throws(FlowSpoolError) -> Bool {
    var end = size
    while end > 0 {
      let start = max(0, end - Self.chunkBytes)
      let chunk = try file.read(from: start, count: end - start)
      if let last = chunk.lastIndex(of: 0x0A) {
        end = start + last + 1
        break
      }
      end = start
    }
    guard end < size else { return false }
    guard file.truncate(to: end) else { throw .failed("\(file.path) can't be cut", errno) }
    size = end
    return true
  }

  /// - Throws: `FlowSpoolError`
  func remove() throws(FlowSpoolError) {
    guard unlink(file.path) == 0 || errno == ENOENT else { throw .failed("\(file.path) can't be removed", errno) }
  }

  /// Up to `limit` reports from `offset`, where a line begins; and where the line after the last of them begins.
  /// - Throws: `FlowSpoolError`
  func reports(
    from offset: Int, limit: Int
  ) throws(FlowSpoolError) -> (reports: [String], end: Int, damaged: Int) {
    var found: [String] = []
    var damaged = 0
    let end = try lines(from: offset) { line in
      if let json = line?.json { found.append(json) }
      if line == nil { damaged += 1 }
      return found.count < limit
    }
    return (found, end, damaged)
  }

  /// How many reports there are from `offset` on, and what tells them from those of any other segment.
  /// - Throws: `FlowSpoolError`
  func weight(from offset: Int) throws(FlowSpoolError) -> (count: UInt64, digest: String) {
    var count: UInt64 = 0
    var last: SpoolLine?
    _ = try lines(from: offset) { line in
      count += line?.weight ?? 0
      last = line ?? last
      return true
    }
    return (count, SpoolLine.digest(last?.bytes ?? []))
  }

  /// The position of the newest report, or, when there is none, that which the first line names.
  /// - Throws: `FlowSpoolError`
  func newestPosition() throws(FlowSpoolError) -> SpoolPosition? {
    var newest: SpoolPosition?
    _ = try lines(from: 0) { line in
      switch line {
      case .head(let position?), .report(let position, _): newest = position
      default: break
      }
      return true
    }
    return newest
  }

  /// Hands each line from `offset` to `visit`, nil for a damaged one, until that says false. Where the next line
  /// begins.
  private func lines(
    from offset: Int, _ visit: (SpoolLine?) -> Bool
  ) throws(FlowSpoolError) -> Int {
    var place = min(offset, size)
    while place < size {
      let chunk = try file.read(from: place, count: min(Self.chunkBytes, size - place))
      var rest = chunk[...]
      guard !rest.isEmpty else { return size }
      while let end = rest.firstIndex(of: 0x0A) {
        let isEnough = !visit(SpoolLine(rest[..<end]))
        rest = rest[(end + 1)...]
        if isEnough { return place + rest.startIndex }
      }
      if rest.startIndex == 0 || place + chunk.count == size {
        // No line is so long, and what is written ends with a line's end: the rest is damaged.
        if !rest.isEmpty, !visit(nil) { return place + chunk.count }
        place += chunk.count
      } else {
        place += rest.startIndex
      }
    }
    return place
  }
}
