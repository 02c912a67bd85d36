#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An open file of the spool. Closed with its last reference.
final class SpoolFile: Sendable {
  let path: String
  private let descriptor: CInt

  /// How bytes are written (write(2)); a test hands in its own.
  typealias Write = @Sendable (CInt, UnsafeRawBufferPointer) -> Int
  static let systemWrite: Write = { descriptor, bytes in Glibc.write(descriptor, bytes.baseAddress, bytes.count) }

  /// - Throws: `FlowSpoolError`
  init(path: String, flags: CInt = O_RDWR | O_CREAT) throws(FlowSpoolError) {
    self.path = path
    let descriptor = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .failed("\(path) can't be opened", errno) }
    self.descriptor = descriptor
  }

  deinit { _ = close(descriptor) }

  /// Keeps every other process from doing the same, until it ends, however it ends.
  /// - Throws: `FlowSpoolError`
  func lock() throws(FlowSpoolError) {
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw errno == EWOULDBLOCK ? .inUse(path) : .failed("\(path) can't be locked", errno)
    }
  }

  /// - Throws: `FlowSpoolError`
  func restrict(to mode: mode_t) throws(FlowSpoolError) {
    guard fchmod(descriptor, mode) == 0 else { throw .failed("\(path) can't be made private", errno) }
  }

  /// - Throws: `FlowSpoolError`
  func size() throws(FlowSpoolError) -> Int {
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= 0 else { throw .failed("\(path) can't be read", errno) }
    return Int(end)
  }

  /// Up to `count` bytes from `offset`; fewer at the end of the file.
  /// - Throws: `FlowSpoolError`
  func read(from offset: Int, count: Int) throws(FlowSpoolError) -> [UInt8] {
    var failure: CInt = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: max(count, 0)) { buffer, filled in
      while filled < buffer.count {
        let got = pread(
          descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled, off_t(offset + filled))
        if got < 0, errno == EINTR { continue }
        if got < 0 { failure = errno }
        guard got > 0 else { return }
        filled += got
      }
    }
    guard failure == 0 else { throw .failed("\(path) can't be read", failure) }
    return bytes
  }

  /// Puts `bytes` at `offset`, which is the file's end or before it, and waits until they are on the disk.
  /// - Throws: `FlowSpoolError`; some of them may have been written then.
  func write(_ bytes: [UInt8], at offset: Int, by write: Write) throws(FlowSpoolError) {
    guard lseek(descriptor, off_t(offset), SEEK_SET) >= 0 else { throw .failed("\(path) can't be written", errno) }
    var done = 0
    while done < bytes.count {
      let written = bytes.withUnsafeBytes { write(descriptor, UnsafeRawBufferPointer(rebasing: $0[done...])) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw .failed("\(path) can't be written", written == 0 ? EIO : errno) }
      done += written
    }
    try synchronize()
  }

  /// - Throws: `FlowSpoolError`
  func synchronize() throws(FlowSpoolError) {
    guard fsync(descriptor) == 0 else { throw .failed("\(path) can't be written", errno) }
  }

  /// Whether the file ends at `size` now.
  func truncate(to size: Int) -> Bool { ftruncate(descriptor, off_t(size)) == 0 }
}
