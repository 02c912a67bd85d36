import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The machine's hierarchy of cgroups v2, as it is mounted.
public struct CgroupHierarchy: Sendable, Hashable {
  /// Why cgroups can't be read.
  public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String
  }

  /// Where the root is mounted.
  public let mountPoint: String

  /// Takes the directory of the root.
  public init(mountPoint: String) { self.mountPoint = mountPoint }

  /// Finds it in the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)): the whole of cgroup v2, whether it is
  /// mounted alone or, in the hybrid layout, beside version 1.
  /// - Throws: `Failure` that says what to mount.
  public init(mountInfo: String) throws(Failure) {
    var found: [String] = []
    var partial: String?
    for line in mountInfo.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: false)
      // Behind the sixth there may be more, up to a hyphen.
      guard fields.count > 6, let hyphen = fields[6...].firstIndex(of: "-"), hyphen + 1 < fields.count,
        fields[hyphen + 1] == "cgroup2"
      else { continue }
      let mountPoint = Self.unescaped(fields[4])
      if fields[3] == "/" { found.append(mountPoint) } else { partial = mountPoint }
    }
    let usual = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
    guard let mountPoint = usual.first(where: found.contains) ?? found.first else {
      throw Failure(
        description: partial.map {
          "at \($0) only a part of cgroup v2 is mounted; run in the machine's own cgroup namespace, or mount cgroup2"
        } ?? "cgroup v2 is not mounted; run `mount -t cgroup2 none /sys/fs/cgroup`, or boot with it")
    }
    self.mountPoint = mountPoint
  }

  #if os(Linux)
    /// This machine's.
    /// - Throws: `Failure` that says what to mount.
    public static func current() throws(Failure) -> CgroupHierarchy {
      do {
        let text = try BoundedFile.read("/proc/self/mountinfo", maximumBytes: 16 << 20)
        return try CgroupHierarchy(mountInfo: String(decoding: text, as: UTF8.self))
      } catch let failure as Failure {
        throw failure
      } catch { throw Failure(description: "\(error)") }
    }
  #endif

  /// As the kernel writes spaces and the like: a backslash and three octal digits.
  private static func unescaped(_ field: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(field.utf8)[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
        bytes.append(digits.reduce(0) { $0 << 3 | ($1 - 0x30) })
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The id of the cgroup at `path`, which begins with a slash; nil when there is none.
  /// - Throws: `Failure` when that can't be found out.
  public func id(of path: String) throws(Failure) -> UInt64? {
    var status = stat()
    guard lstat(mountPoint + path, &status) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw Failure(description: "\(mountPoint + path) can't be looked at (errno \(errno))")
    }
    return status.st_mode & S_IFMT == S_IFDIR ? UInt64(status.st_ino) : nil
  }

  /// The cgroups right below the one at `path`, by their paths; none when it is gone.
  /// - Throws: `Failure`
  public func children(of path: String) throws(Failure) -> [Cgroup] {
    let folder = mountPoint + path
    guard let stream = opendir(folder) else {
      if errno == ENOENT { return [] }
      throw Failure(description: "\(folder) can't be listed (errno \(errno))")
    }
    defer { _ = closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw Failure(description: "\(folder) can't be listed (errno \(errno))") }
        break
      }
      guard entry.pointee.d_type == UInt8(DT_DIR) || entry.pointee.d_type == UInt8(DT_UNKNOWN) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    let prefix = path == "/" ? "/" : path + "/"
    var children: [Cgroup] = []
    for name in names.sorted() {
      // One that is gone by now is no child.
      if let id = try id(of: prefix + name) { children.append(Cgroup(id: id, path: prefix + name)) }
    }
    return children
  }

  /// The cgroup at `path` and all below it that the kernel programs look at, each before those below it; none when it
  /// is gone.
  /// - Throws: `Failure`, also for more than `CASA_MAX_CGROUPS`.
  public func all(below path: String = "/") throws(Failure) -> [Cgroup] {
    guard let id = try id(of: path) else { return [] }
    var found = [Cgroup(id: id, path: path)]
    var next = 0
    while next < found.count {
      if found[next].depth < CgroupPath.maximumDepth { found += try children(of: found[next].path) }
      next += 1
      guard found.count <= Int(CASA_MAX_CGROUPS) else {
        throw Failure(description: "there are more than \(CASA_MAX_CGROUPS) cgroups below \(path)")
      }
    }
    return found
  }

  /// The ids of the processes in the cgroup at `path`, itself only; none when it is gone, or holds threads only.
  public func processes(in path: String) -> [UInt32] {
    guard let bytes = try? BoundedFile.read("\(mountPoint)\(path)/cgroup.procs", maximumBytes: 4 << 20) else {
      return []
    }
    return bytes.split(separator: UInt8(ascii: "\n")).compactMap { UInt32(String(decoding: $0, as: UTF8.self)) }
  }
}
