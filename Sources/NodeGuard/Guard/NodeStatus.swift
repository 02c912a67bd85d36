public import CASACore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the kernel holds, read from it: whether a guard runs or not.
public struct NodeStatus: Sendable {
  /// Every program that has to be attached, by name.
  static let expected = [
    "casa_attach_task", "casa_bind4", "casa_bind6", "casa_cgroup_mkdir", "casa_connect4", "casa_connect6",
    "casa_egress", "casa_exec", "casa_exit", "casa_fork", "casa_ingress", "casa_sendmsg4", "casa_sendmsg6",
    "casa_sock_create",
    "casa_sock_release", "casa_sys_enter",
  ]

  public let programs: [KernelPrograms.Program]
  /// Names of programs that are not attached.
  public let missing: [String]
  /// Which programs are attached; nil when none are.
  public private(set) var variant: ProgramVariant?
  public private(set) var workloads = 0
  public private(set) var names = 0
  public private(set) var cgroups = 0
  public private(set) var processes = 0
  public private(set) var lostEvents: UInt64 = 0
  public private(set) var lostTokens: UInt64 = 0

  public var isEnforced: Bool { missing.isEmpty }

  /// - Throws: `KernelFailure`, for instance when this process may not look.
  public init(pins: PinDirectory) throws(KernelFailure) {
    let programs = try KernelPrograms(pins: pins).attached()
    self.programs = programs
    let attached = Set(programs.map(\.name))
    missing = Self.expected.filter { !attached.contains($0) }
    if programs.isEmpty { return }
    let kernel = try KernelPolicy(pins)
    variant = kernel.variant
    let fill = try kernel.fill()
    (workloads, names, cgroups, processes) = (fill.workloads, fill.names, fill.cgroups, fill.processes)
    let lost = try kernel.lost()
    (lostEvents, lostTokens) = (lost.events, lost.tokens)
  }

  /// The addresses that the LLM's name has now for a workload, by the resolver's answers.
  public static func admittedAddresses(
    of workload: WorkloadPolicy, pins: PinDirectory
  ) throws(KernelFailure) -> Set<NetworkAddress> {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    let nanoseconds = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    return try KernelPolicy(pins).admittedAddresses(of: workload, now: nanoseconds)
  }

  public var json: JSONValue {
    [
      "enforced": .bool(isEnforced), "missing": .array(missing.map(JSONValue.string)),
      "loops": variant.map { .string($0.description) } ?? .null,
      "workloads": .number(Double(workloads)), "names": .number(Double(names)), "cgroups": .number(Double(cgroups)),
      "processes": .number(Double(processes)), "lost_events": .number(count: lostEvents),
      "lost_tokens": .number(count: lostTokens),
      "programs": .array(
        programs.map {
          [
            "name": .string($0.name), "runs": .number(count: $0.runs), "run_time_ns": .number(count: $0.runTime),
            "verified_instructions": .number(Double($0.verifiedInstructions)),
          ]
        }),
    ]
  }
}
