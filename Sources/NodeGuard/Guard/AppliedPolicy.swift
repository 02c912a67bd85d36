/// The policy that is enforced, as it was written: for `casa node policy` and `casa node explain`.
public enum AppliedPolicy {
  static func path(in directory: String) -> String { "\(directory)/policy" }

  /// - Throws: `PolicyError` when there is none, or it can't be read.
  public static func load(from directory: String) throws(PolicyError) -> NodePolicy {
    let file = try PolicyFile(path: path(in: directory))
    return try NodePolicy(parsing: file.bytes)
  }

  static func store(_ bytes: [UInt8], in directory: String) throws {
    try AtomicFile.replace(path(in: directory), with: bytes)
  }
}
