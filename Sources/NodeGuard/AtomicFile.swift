import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Files that are replaced as a whole, readable by their owner only.
enum AtomicFile {
  /// - Throws: `Errno`; then the file is as it was.
  static func replace(_ path: String, with bytes: [UInt8]) throws {
    let new = path + ".new"
    let file = try FileDescriptor.open(
      FilePath(new), .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
    try file.closeAfter { _ = try file.writeAll(bytes) }
    guard rename(new, path) == 0 else { throw Errno(rawValue: errno) }
  }
}
