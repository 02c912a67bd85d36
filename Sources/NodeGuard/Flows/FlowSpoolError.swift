#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why a report could not be kept or handed out.
public enum FlowSpoolError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file system has no room left.
  case noSpace
  /// Another process has the directory open.
  case inUse(String)
  /// A report is longer than the spool takes, or of more than one line.
  case unfit(bytes: Int, limit: Int)
  case unavailable(String)

  static func failed(_ what: String, _ errno: CInt) -> FlowSpoolError {
    errno == ENOSPC || errno == EDQUOT ? .noSpace : .unavailable("\(what) (errno \(errno))")
  }

  public var description: String {
    switch self {
    case .noSpace: "the file system of the spool is full; make room, reports wait until then"
    case .inUse(let path): "another node guard uses \(path); stop it or choose another directory"
    case .unfit(let bytes, let limit): "expected a report of one line of at most \(limit) bytes, got \(bytes)"
    case .unavailable(let why): "the spool can't be used: \(why)"
    }
  }
}
