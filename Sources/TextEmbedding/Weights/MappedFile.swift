#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file's bytes, read by the system when they are looked at. Whoever shortens the file meanwhile ends the process.
final class MappedFile: @unchecked Sendable {
  // The mapping is private and read-only, is never replaced, and lives as long as this object: any thread may read it.
  let bytes: UnsafeRawBufferPointer

  init(path: String) throws(ModelError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .unreadable(file: path, reason: Self.lastError) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .unreadable(file: path, reason: Self.lastError) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(file: path, reason: "not a regular file") }
    let count = Int(status.st_size)
    guard count > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
      throw .unreadable(file: path, reason: Self.lastError)
    }
    bytes = UnsafeRawBufferPointer(start: start, count: count)
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }

  /// Gives back the memory of bytes that won't be looked at soon; they can be, and are then read from the file again.
  func release(_ part: UnsafeRawBufferPointer) {
    guard let file = bytes.baseAddress, let start = part.baseAddress, start >= file,
      start + part.count <= file + bytes.count
    else { return }
    // Pages that lie wholly within it.
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = (start - file + page - 1) / page * page
    let end = (start - file + part.count) / page * page
    if first < end { madvise(UnsafeMutableRawPointer(mutating: file + first), end - first, MADV_DONTNEED) }
  }

  private static var lastError: String { String(cString: strerror(errno)) }
}
