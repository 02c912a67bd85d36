/// A cgroup v2.
public struct Cgroup: Sendable, Hashable {
  /// The inode number of its directory, which is the kernel's id of it.
  public let id: UInt64
  /// Below the root of the hierarchy, beginning with a slash; `/` is the root.
  public let path: String

  public init(id: UInt64, path: String) {
    self.id = id
    self.path = path
  }

  /// Levels below the root.
  public var depth: Int { path == "/" ? 0 : path.utf8.reduce(0) { $0 + ($1 == UInt8(ascii: "/") ? 1 : 0) } }
}
