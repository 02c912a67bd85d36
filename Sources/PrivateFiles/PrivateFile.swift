import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that only its owner can read.
public enum PrivateFile {
  /// Makes a directory for such files, and those above it, where they are missing.
  /// - Throws: `PrivateFileError`
  public static func makeDirectory(_ path: String) throws(PrivateFileError) {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw PrivateFileError("the folder \(path) can't be made: \(error.localizedDescription)")
    }
  }

  /// Writes `text` and puts it in place at once: a reader sees the old file or the new one.
  /// - Throws: `PrivateFileError`; then the file is as it was.
  public static func write(_ text: String, to path: String) throws(PrivateFileError) {
    let draft = path + ".new"
    _ = unlink(draft)
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw PrivateFileError("\(draft) can't be made (errno \(errno))") }
    defer { _ = Glibc.close(descriptor) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard written > 0 else { throw PrivateFileError("\(draft) can't be written (errno \(errno))") }
      rest = rest.dropFirst(written)
    }
    guard fsync(descriptor) == 0, rename(draft, path) == 0 else {
      throw PrivateFileError("\(path) can't be written (errno \(errno))")
    }
  }
}
