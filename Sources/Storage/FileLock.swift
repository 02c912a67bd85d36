import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An advisory lock on a file, held until released or until the process ends, however it ends.
final class FileLock: Sendable {
  private let descriptor: Mutex<Int32?>

  /// - Throws: `StorageError.unavailable` when another process holds the lock.
  init(path: String) throws(StorageError) {
    let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard opened >= 0 else { throw .unavailable("\(path) can't be opened (errno \(errno))") }
    guard flock(opened, LOCK_EX | LOCK_NB) == 0 else {
      _ = Glibc.close(opened)
      throw .unavailable("another casa runtime uses this data directory; stop it or choose another --data")
    }
    descriptor = Mutex(opened)
  }

  func release() {
    descriptor.withLock { held in
      if let open = held { _ = Glibc.close(open) }
      held = nil
    }
  }

  deinit { release() }
}
