import Sidecar

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A Unix socket that only its owner and group can open.
enum PrivateSocket {
  /// Takes away the socket of a process that is gone.
  /// - Throws: `ConfigurationError` when something else is there, or somebody answers on it.
  static func prepare(_ address: ListenAddress) throws(ConfigurationError) {
    guard case .unix(let path) = address else { return }
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw ConfigurationError.notASocket(path) }
    guard !isAnswered(path) else { throw ConfigurationError.socketInUse(path) }
    _ = unlink(path)
  }

  /// Lets the socket's owner and group open it, and nobody else.
  /// - Throws: `ConfigurationError` when its mode can't be set.
  static func protect(_ address: ListenAddress) throws(ConfigurationError) {
    guard case .unix(let path) = address else { return }
    guard chmod(path, 0o660) == 0 else {
      throw ConfigurationError.cannotSetMode(path, why: String(cString: strerror(errno)))
    }
  }

  private static func isAnswered(_ path: String) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return true }
    defer { _ = close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { buffer in
      guard bytes.count < buffer.count else { return false }
      buffer.copyBytes(from: bytes)
      return true
    }
    // Nobody can be asked at a path that is too long; it is left alone.
    guard fits else { return true }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  }
}
