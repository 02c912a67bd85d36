import CNodeGuard

/// What not every kernel has that the programs could run on. The raw value is what the option
/// `--without-kernel-feature` and messages call it.
public enum KernelFeature: String, Sendable, CaseIterable {
  case loop = "bpf_loop"
  case socketRelease = "cgroup/sock_release"
  case socketStorage = "bpf_sk_storage_get in cgroup/sock_create"
  case ringBuffer = "bpf_ringbuf_reserve"
  case bootClock = "bpf_ktime_get_boot_ns"

  /// The first Linux that has it.
  var since: String {
    switch self {
    case .loop: "5.17"
    case .socketRelease, .socketStorage: "5.9"
    case .ringBuffer, .bootClock: "5.8"
    }
  }

  /// Whether there are programs that do without.
  var isReplaceable: Bool { self == .loop }

  /// Whether this kernel has it; also true when this process may not ask.
  var isThere: Bool {
    switch self {
    case .loop: casa_kernel_has(CASA_FEATURE_LOOP)
    case .socketRelease: casa_kernel_has(CASA_FEATURE_SOCKET_RELEASE)
    case .socketStorage: casa_kernel_has(CASA_FEATURE_SOCKET_STORAGE)
    case .ringBuffer: casa_kernel_has(CASA_FEATURE_RING_BUFFER)
    case .bootClock: casa_kernel_has(CASA_FEATURE_BOOT_CLOCK)
    }
  }
}
