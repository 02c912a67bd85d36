import SystemPackage

/// The policy that is enforced, as it was written: for `casa node policy` and `casa node explain`.
public enum AppliedPolicy {
  static func path(in directory: String) -> String { "\(directory)/policy" }

  /// - Throws: `PolicyError` when there is none, or it can't be read.
  public static func load(from directory: String) throws(PolicyError) -> NodePolicy {
    let file = try PolicyFile(path: path(in: directory))
    return try NodePolicy(parsing: file.bytes)
  }

  /// Replaces what is stored as a whole.
  static func store(_ bytes: [UInt8], in directory: String) throws {
    let (new, old) = (FilePath(path(in: directory) + ".new"), FilePath(path(in: directory)))
    let file = try FileDescriptor.open(
      new, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
    try file.closeAfter { _ = try file.writeAll(bytes) }
    guard rename(new.string, old.string) == 0 else { throw Errno(rawValue: errno) }
  }
}

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
