#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The policy's file as it was when it was read.
struct PolicyFile: Sendable {
  let path: String
  let bytes: [UInt8]
  private let state: State

  /// What changes when a file is written or replaced.
  private struct State: Sendable, Equatable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    let seconds: Int
    let nanoseconds: Int

    init(path: String) throws(PolicyError) {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw PolicyError("\(path) can't be read: \(String(cString: strerror(errno)))")
      }
      device = UInt64(status.st_dev)
      inode = UInt64(status.st_ino)
      size = Int64(status.st_size)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  /// - Throws: `PolicyError` when it can't be read.
  init(path: String) throws(PolicyError) {
    self.path = path
    // Looked at first: what is written meanwhile is then found the next time.
    state = try State(path: path)
    do {
      bytes = try BoundedFile.read(path, maximumBytes: NodePolicy.maximumBytes)
    } catch { throw PolicyError(error.description) }
  }

  /// The file as it is now; nil when it is as it was.
  func changed() throws(PolicyError) -> PolicyFile? {
    let now = try State(path: path)
    if now == state { return nil }
    let file = try PolicyFile(path: path)
    return file
  }
}
