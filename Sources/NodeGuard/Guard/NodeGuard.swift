import AgentProtocols
import CASACore
import Logging
import Prometheus

/// The node guard's state: what it has the kernel enforce, and what the kernel tells it.
///
/// The kernel enforces with or without it: it only keeps the kernel's maps like the policy and the cgroups there are,
/// and carries events away.
actor NodeGuard {
  /// How many events are taken at a time.
  private static let batch = 256
  /// How many times in a row, before anything else is looked at: a workload may make events faster than they are read.
  private static let batchesInARow = 16

  private let configuration: NodeGuardService.Configuration
  private let hierarchy: CgroupHierarchy
  private let pods: any PodDirectory
  private let logger: Logger
  private let clock: BootClock
  private let spool: FlowSpool?
  private let log: FlowLog
  private var kernel: KernelPolicy
  private let ring: EventRing
  private var source: PolicyFile
  private var policy: NodePolicy
  private var resolution = WorkloadResolver.Resolution()
  /// The cgroups there are.
  private var cgroups: [Cgroup] = []
  /// Cgroups whose processes are adopted.
  private var adopted: Set<UInt64> = []
  private var hasNewCgroups = true
  /// Events that the kernel had no room for, as far as they are reported.
  private var reportedLosses: ReportedLosses
  private(set) var counts = GuardCounts()

  /// Loads the programs, fills their maps and puts them in force.
  /// - Throws: when the policy can't be read or the kernel refuses; what was enforced before still is.
  init(_ configuration: NodeGuardService.Configuration, spool: FlowSpool?, logger: Logger) async throws {
    self.configuration = configuration
    self.logger = logger
    self.spool = spool
    hierarchy = try configuration.cgroupRoot.map { CgroupHierarchy(mountPoint: $0) } ?? CgroupHierarchy.current()
    pods = configuration.podsFile.map { PodDirectoryFile(path: $0) } ?? NoPods()
    clock = try BootClock.current()
    log = try FlowLog(directory: configuration.stateDirectory)
    reportedLosses = ReportedLosses(directory: configuration.stateDirectory)
    source = try PolicyFile(path: configuration.policyPath)
    policy = try NodePolicy(parsing: source.bytes)
    let programs = try KernelPrograms(pins: configuration.pins).load(without: configuration.absentFeatures)
    kernel = try KernelPolicy(configuration.pins, eventsPerSecond: configuration.eventsPerSecond)
    ring = try EventRing(of: configuration.pins, clock: clock)
    cgroups = try hierarchy.all()
    resolution = WorkloadResolver.resolve(policy, cgroups: cgroups, pods: try await pods.pods())
    try kernel.enforce(policy, cgroups: resolution)
    try programs.attach(to: hierarchy)
    try kernel.declare(programs.variant, under: policy)
    if programs.variant == .bounded {
      logger.notice("the programs for kernels without bpf_loop are in force; they decide and tell the same")
    }
    try adoptProcesses()
    try AppliedPolicy.store(source.bytes, in: configuration.stateDirectory)
    try reportLosses()
    report(resolution)
  }

  /// Takes over a policy file that was changed, and finds the workloads' cgroups anew.
  func refresh() async {
    var isEnforced = false
    do {
      let changed = try source.changed()
      let wanted = try changed.map { file throws(PolicyError) in try NodePolicy(parsing: file.bytes) } ?? policy
      let cgroups = try hierarchy.all()
      let found = WorkloadResolver.resolve(wanted, cgroups: cgroups, pods: try await pods.pods())
      self.cgroups = cgroups
      if let changed {
        try kernel.enforce(wanted, cgroups: found)
        isEnforced = true
        // Before it counts as taken over, so that it is tried again when it can't be stored.
        try AppliedPolicy.store(changed.bytes, in: configuration.stateDirectory)
        (source, policy, adopted) = (changed, wanted, [])
        counts.policies += 1
        logger.notice("policy replaced", metadata: ["workloads": "\(wanted.workloads.count)"])
      } else {
        try kernel.bind(found, of: policy)
      }
      if found != resolution { report(found) }
      resolution = found
      try adoptProcesses()
      try reportLosses()
      counts.isPolicyCurrent = true
    } catch {
      if counts.isPolicyCurrent {
        logger.error(
          isEnforced
            ? "the new policy is in force, but not kept; it is tried again: \(error)"
            : "not taken over; the policy before stays in force: \(error)")
      }
      counts.isPolicyCurrent = false
      counts.failures += 1
    }
  }

  /// Carries the kernel's events to the disk, a bounded number of them. Only then they leave the kernel.
  /// - Returns: whether cgroups were made, whose workload has to be found.
  func pump() -> Bool {
    hasNewCgroups = false
    for _ in 0..<Self.batchesInARow {
      var events: [Result<KernelEvent, KernelEventError>] = []
      var reports: [FlowSpool.Report] = []
      // Those that were stored, and not given back before a guard was killed or the disk was full, come again.
      let stored = spool?.newestPosition
      let count = ring.read(atMost: Self.batch) { position, bytes in
        if let stored, stored.source == position.source, position.offset <= stored.offset { return }
        let decoded = Result { () throws(KernelEventError) in try KernelEvent(decoding: bytes) }
        events.append(decoded)
        if let json = try? decoded.get().json(in: policy, clock: clock) {
          reports.append(FlowSpool.Report(position: position, json: json.canonicalText))
        }
      }
      if count == 0 { return hasNewCgroups }
      do {
        if let spool { try spool.append(reports) }
        log.append(reports.map(\.json))
        ring.release()
        counts.isStoring = true
      } catch {
        // They stay in the kernel, which counts those that it has no room for, and come again.
        counts.failures += 1
        if counts.isStoring { logger.error("events can't be stored and stay in the kernel: \(error)") }
        counts.isStoring = false
        return hasNewCgroups
      }
      for event in events { note(event) }
      if count < Self.batch { return hasNewCgroups }
    }
    return hasNewCgroups
  }

  /// Tells of events that the kernel had no room for, since its buffer was full.
  private func reportLosses() throws {
    let lost = try kernel.lost().events
    let known = reportedLosses.count(of: ring.end.source)
    guard lost > known else { return }
    // Under the same id when it is told again, because the guard was killed before it kept that it was told.
    let report = LostFlows(
      id: "\(clock.boot)-buffer_full-\(ring.end.source)-\(known)", at: WallClock.system.now(), count: lost - known,
      reason: "buffer_full")
    let json = report.json.canonicalText
    try spool?.append([FlowSpool.Report(position: ring.end, json: json)])
    log.append([json])
    try reportedLosses.set(lost, of: ring.end.source)
  }

  private func note(_ decoded: Result<KernelEvent, KernelEventError>) {
    do {
      let event = try decoded.get()
      counts.events[event.kind, default: 0] += 1
      switch event.kind {
      case .cgroup: hasNewCgroups = true
      case .left:
        logger.warning(
          "a process was moved out of its workload's cgroup; it stays under its policy",
          metadata: ["workload": "\(name(event.workload))", "process": "\(event.process ?? 0)"])
      case .refused:
        logger.info(
          "refused",
          metadata: [
            "workload": "\(name(event.workload))", "reason": "\(event.reason.map(\.description) ?? "-")",
            "remote": "\(event.remote.map(\.description) ?? "-")", "observed_only": "\(event.isObserved)",
          ])
      case .opened, .closed, .token, .admitted: break
      }
    } catch {
      counts.undecodable += 1
      logger.error("an event of the kernel can't be read: \(error)")
    }
  }

  private func name(_ workload: WorkloadID) -> String {
    policy[workload]?.name ?? (workload == .unnamed ? KernelEvent.unnamedWorkload : workload.description)
  }

  /// Processes that were in a workload's cgroup before the programs watched.
  private func adoptProcesses() throws {
    adopted.formIntersection(resolution.workloads.keys)
    if resolution.workloads.keys.allSatisfy(adopted.contains) { return }
    // Each cgroup is its nearest named ancestor's; ancestors come first in the list.
    var owners: [String: WorkloadID] = [:]
    for cgroup in cgroups {
      let parent = cgroup.path.lastIndex(of: "/").map { String(cgroup.path[..<$0]) } ?? ""
      guard let owner = resolution.workloads[cgroup.id] ?? owners[parent] else { continue }
      owners[cgroup.path] = owner
      if owner != .unnamed { try kernel.adopt(hierarchy.processes(in: cgroup.path), for: owner) }
    }
    adopted = Set(resolution.workloads.keys)
  }

  private func report(_ resolution: WorkloadResolver.Resolution) {
    logger.notice(
      "workloads found",
      metadata: [
        "cgroups": "\(resolution.workloads.count)", "without_cgroup": "\(resolution.unmatched.count)",
        "contested": "\(resolution.contested.count)",
      ])
    for (path, names) in resolution.contested.sorted(by: { $0.key < $1.key }) {
      logger.error("several workloads claim \(path), which is denied everything: \(names.joined(separator: ", "))")
    }
  }

  /// `/metrics`, in the text format of Prometheus.
  func metrics(delivered: Int, waiting: Int) -> String {
    var text = MetricsText()
    do {
      let fill = try kernel.fill()
      let lost = try kernel.lost()
      text.gauge("casa_node_map_entries", "Entries of the kernel's maps.", label: "map") {
        [
          ("policies", fill.workloads), ("names", fill.names), ("cgroups", fill.cgroups), ("members", fill.processes),
        ]
      }
      text.counter("casa_node_events_lost_total", "Events that the kernel's buffer had no room for.", lost.events)
      text.counter("casa_node_tokens_unread_total", "Tokens that were longer than 4096 bytes.", lost.tokens)
      text.counter("casa_node_processes_killed_total", "Processes that could not be kept in mind.", lost.processes)
      text.gauge("casa_node_ring_bytes", "Bytes of events that wait in the kernel.", ring.fill)
      let programs = try KernelPrograms(pins: configuration.pins).attached()
      text.counter("casa_node_program_runs_total", "Runs of each kernel program.", label: "program") {
        programs.map { ($0.name, Int($0.runs)) }
      }
      text.counter("casa_node_program_nanoseconds_total", "Time in each kernel program.", label: "program") {
        programs.map { ($0.name, Int($0.runTime)) }
      }
      text.gauge(
        "casa_node_bounded_loops", "1 while the programs for kernels without bpf_loop are in force.",
        kernel.variant == .bounded ? 1 : 0)
      text.gauge("casa_node_program_verified_instructions", "What the verifier walked through.", label: "program") {
        programs.map { ($0.name, $0.verifiedInstructions) }
      }
      text.counter("casa_node_refused_total", "Refusals by workload, told or not.", label: "workload") {
        policy.workloads.compactMap { workload in
          (try? kernel.counts(of: workload)).map { (workload.name, Int($0.refused)) }
        }
      }
      text.counter("casa_node_events_suppressed_total", "Events beyond a workload's rate.", label: "workload") {
        policy.workloads.compactMap { workload in
          (try? kernel.counts(of: workload)).map { (workload.name, Int($0.suppressed)) }
        }
      }
    } catch {
      counts.failures += 1
      logger.error("metrics are incomplete: \(error)")
    }
    text.counter("casa_node_events_total", "Events taken from the kernel.", label: "kind") {
      counts.events.map { ($0.key.description, $0.value) }.sorted { $0.0 < $1.0 }
    }
    text.counter("casa_node_failures_total", "Times that something was not taken over or not stored.", counts.failures)
    text.gauge(
      "casa_node_policy_current", "1 while the policy file is what is enforced.", counts.isPolicyCurrent ? 1 : 0)
    text.counter("casa_node_reports_delivered_total", "Reports that the runtime has.", delivered)
    text.gauge("casa_node_spool_bytes", "Bytes of reports on the disk.", waiting)
    return text.text
  }
}

/// What the guard did since it was started.
struct GuardCounts: Sendable {
  var events: [KernelEvent.Kind: Int] = [:]
  var undecodable = 0
  var failures = 0
  var policies = 1
  var isPolicyCurrent = true
  /// Whether the events that came last were stored.
  var isStoring = true
}

/// For machines without pods.
private struct NoPods: PodDirectory {
  func pods() async throws -> [PodMetadata] { [] }
}
