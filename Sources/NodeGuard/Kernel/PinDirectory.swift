/// Where the kernel programs and their maps are pinned: in a BPF file system, so that they outlive the guard.
public struct PinDirectory: Sendable, Hashable, CustomStringConvertible {
  public static let standard = PinDirectory("/sys/fs/bpf/casa")

  public let path: String

  public init(_ path: String) { self.path = path }

  func map(_ name: String) -> String { "\(path)/maps/\(name)" }
  public var description: String { path }
}
