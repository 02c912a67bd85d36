import CNodeGuard

/// Which cgroups are a workload's; cgroups below one belong to it too.
public enum CgroupSelector: Sendable, Hashable, CustomStringConvertible {
  /// A path below the root of cgroup v2.
  case path(CgroupPath)
  case pod(PodSelector)

  public var description: String {
    switch self {
    case .path(let path): path.text
    case .pod(let pod): "pod \(pod)"
    }
  }
}

/// A cgroup by its path below the root of cgroup v2, such as `/casa/agent`; never the root.
public struct CgroupPath: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  /// The most levels below the root that the kernel programs look at.
  public static let maximumDepth = Int(CASA_MAX_CGROUP_DEPTH)

  /// - Throws: `PolicyError`
  public init(parsing text: String) throws(PolicyError) {
    let levels = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard levels.count >= 2, levels[0].isEmpty, text.utf8.count < 4096, !text.utf8.contains(where: { $0 < 0x20 }),
      levels.dropFirst().allSatisfy({
        !$0.isEmpty && $0.count < 256 && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8)
      })
    else {
      throw PolicyError(
        "expected a cgroup's path below the root of cgroup v2, such as /casa/agent, without a final slash, got"
          + " `\(quoted(text))`")
    }
    guard levels.count - 1 <= Self.maximumDepth else {
      throw PolicyError(
        "expected a cgroup at most \(Self.maximumDepth) levels below the root, got one of \(levels.count - 1)")
    }
    self.text = text
  }

  public var description: String { text }
}

/// Pods of Kubernetes, or one container of each. What is nil is any.
public struct PodSelector: Sendable, Hashable, CustomStringConvertible {
  public let namespace: String?
  /// In which `*` stands for any characters, none among them, and `?` for one.
  public let name: String?
  public let uid: String?
  /// nil for the whole pod.
  public let container: String?

  /// - Throws: `PolicyError` unless it has a `uid`, or a `namespace` and a `name`.
  public init(namespace: String?, name: String?, uid: String?, container: String?) throws(PolicyError) {
    guard uid != nil || (namespace != nil && name != nil) else {
      throw PolicyError("expected `namespace` and `name`, or `uid`")
    }
    self.namespace = namespace
    self.name = name
    self.uid = uid
    self.container = container
  }

  /// Whether `pod` is one of them, whatever the container.
  public func selects(_ pod: PodMetadata) -> Bool {
    (namespace.map { $0 == pod.namespace } ?? true) && (uid.map { $0 == pod.uid } ?? true)
      && (name.map { Self.matches(Array(pod.name.utf8), pattern: Array($0.utf8)) } ?? true)
  }

  /// In time that grows with the product of the lengths at most.
  static func matches(_ text: [UInt8], pattern: [UInt8]) -> Bool {
    var (at, next) = (0, 0)
    // Where the last star stands, and what it stands for so far.
    var star: (pattern: Int, text: Int)?
    while at < text.count {
      if next < pattern.count, pattern[next] == UInt8(ascii: "*") {
        star = (next, at)
        next += 1
      } else if next < pattern.count, pattern[next] == UInt8(ascii: "?") || pattern[next] == text[at] {
        (at, next) = (at + 1, next + 1)
      } else if let last = star {
        star = (last.pattern, last.text + 1)
        (at, next) = (last.text + 1, last.pattern + 1)
      } else {
        return false
      }
    }
    return pattern[next...].allSatisfy { $0 == UInt8(ascii: "*") }
  }

  public var description: String {
    let pod = [namespace, name].compactMap { $0 }.joined(separator: "/")
    return [pod.isEmpty ? nil : pod, uid.map { "uid \($0)" }, container.map { "container \($0)" }].compactMap { $0 }
      .joined(separator: ", ")
  }
}
