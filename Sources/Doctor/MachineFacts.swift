import Foundation

/// What CASA needs to know of a machine, as it is found there.
public struct MachineFacts: Sendable, Hashable {
  /// `uname`'s release and machine, such as `6.1.0-13-amd64` and `x86_64`; empty where there is none.
  public var kernelRelease = ""
  public var architecture = ""
  public var hasBTF = false
  public var hasCgroup2 = false
  public var hasBPFFileSystem = false
  /// The effective capabilities of this process; nil when they can't be read.
  public var capabilities: UInt64?
  /// How many user namespaces may be made; nil when the kernel does not say.
  public var maximumUserNamespaces: Int?
  /// The programs that set packet rules, by path.
  public var packetFilters: [String] = []
  public var envoy: String?
  /// What is wrong with the filter's library; nil when it is there.
  public var filterProblem: String?
  public var hasModel = false
  /// Whether a service that keeps the clock says that it does; nil where none is known, as in most containers.
  public var isClockKept: Bool?

  public init() {}

  /// Looks at this machine. Reads files only.
  /// - Parameters:
  ///   - envoy: where Envoy was found.
  ///   - filterProblem: why its library could not be.
  public static func gathered(envoy: String?, filterProblem: String?) -> MachineFacts {
    var facts = MachineFacts()
    facts.envoy = envoy
    facts.filterProblem = filterProblem
    func text(_ path: String) -> String {
      guard let handle = FileHandle(forReadingAtPath: path) else { return "" }
      defer { try? handle.close() }
      return String(decoding: (try? handle.read(upToCount: 1 << 20)) ?? Data(), as: UTF8.self)
    }
    #if os(Linux)
      facts.kernelRelease = text("/proc/sys/kernel/osrelease").trimmingCharacters(in: .whitespacesAndNewlines)
      facts.architecture = text("/proc/sys/kernel/arch").trimmingCharacters(in: .whitespacesAndNewlines)
      if facts.architecture.isEmpty {
        #if arch(x86_64)
          facts.architecture = "x86_64"
        #elseif arch(arm64)
          facts.architecture = "aarch64"
        #endif
      }
      let exists = { FileManager.default.fileExists(atPath: $0) }
      if exists("/run/systemd/timesync") {
        facts.isClockKept = exists("/run/systemd/timesync/synchronized")
      } else if ["/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid"].contains(where: exists) {
        facts.isClockKept = true
      }
    #endif
    facts.hasBTF = FileManager.default.isReadableFile(atPath: "/sys/kernel/btf/vmlinux")
    let mounts = text("/proc/mounts").split(separator: "\n").map { $0.split(separator: " ") }
    facts.hasCgroup2 = mounts.contains { $0.count > 2 && $0[2] == "cgroup2" }
    facts.hasBPFFileSystem = mounts.contains { $0.count > 2 && $0[2] == "bpf" }
    for line in text("/proc/self/status").split(separator: "\n") where line.hasPrefix("CapEff:") {
      facts.capabilities = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
    }
    facts.maximumUserNamespaces = Int(
      text("/proc/sys/user/max_user_namespaces").trimmingCharacters(in: .whitespacesAndNewlines))
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    for program in ["iptables-nft", "iptables-legacy", "iptables"] {
      if let path = folders.map({ "\($0)/\(program)" }).first(where: FileManager.default.isExecutableFile) {
        facts.packetFilters.append(path)
      }
    }
    facts.hasModel = FileManager.default.fileExists(atPath: "models/all-MiniLM-L6-v2")
    return facts
  }
}
