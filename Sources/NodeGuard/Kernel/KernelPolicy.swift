import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The policy that the kernel holds.
///
/// Each workload's rules are replaced by one write, so that at every moment either the old ones or the new ones hold,
/// and what is taken away is taken away after what replaces it is there.
struct KernelPolicy {
  private let settings: KernelMap<UInt32, casa_settings>
  private let policies: KernelMap<casa_workload, casa_policy>
  private let names: KernelMap<casa_name_key, UInt32>
  private let admitted: KernelMap<casa_workload, casa_admitted>
  private let llmNames: KernelMap<casa_workload, casa_llm_name>
  private let meters: KernelMap<casa_workload, casa_meter>
  private let cgroups: KernelMap<UInt64, casa_workload>
  private let members: KernelMap<UInt32, casa_workload>
  private let losses: KernelMap<UInt32, casa_losses>

  /// What the maps hold: found there when the guard starts, then kept along.
  private var heldPolicies: [casa_workload: UInt64] = [:]
  private var heldNames: [NameKey: UInt32?] = [:]
  private var heldCgroups: [UInt64: casa_workload] = [:]

  private let eventsPerSecond: UInt32
  /// The programs that are in force.
  private(set) var variant: ProgramVariant

  /// - Parameter eventsPerSecond: the most that are told of one workload and class.
  init(_ pins: PinDirectory, eventsPerSecond: UInt32 = 1000) throws(KernelFailure) {
    self.eventsPerSecond = eventsPerSecond
    settings = try KernelMap("settings", of: pins, key: UInt32.self, value: casa_settings.self)
    policies = try KernelMap("policies", of: pins, key: casa_workload.self, value: casa_policy.self)
    names = try KernelMap("names", of: pins, key: casa_name_key.self, value: UInt32.self)
    admitted = try KernelMap("admitted", of: pins, key: casa_workload.self, value: casa_admitted.self)
    llmNames = try KernelMap("llm_names", of: pins, key: casa_workload.self, value: casa_llm_name.self)
    meters = try KernelMap("meters", of: pins, key: casa_workload.self, value: casa_meter.self)
    cgroups = try KernelMap("cgroups", of: pins, key: UInt64.self, value: casa_workload.self)
    members = try KernelMap("members", of: pins, key: UInt32.self, value: casa_workload.self)
    losses = try KernelMap("losses", of: pins, key: UInt32.self, value: casa_losses.self)
    variant = try settings.value(0).flatMap { ProgramVariant(rawValue: $0.variant) } ?? .loops
    for workload in try policies.keys(atMost: Int(CASA_MAX_WORKLOADS)) {
      heldPolicies[workload] = try policies.value(workload)?.generation
    }
    for key in try names.keys(atMost: Int(CASA_MAX_NAMES)) { heldNames[NameKey(key)] = .some(nil) }
    for cgroup in try cgroups.keys(atMost: Int(CASA_MAX_CGROUPS)) { heldCgroups[cgroup] = try cgroups.value(cgroup) }
  }

  /// Has the kernel enforce this policy for the workloads as they are found in these cgroups.
  /// - Throws: `KernelFailure`; then some workloads have their new rules, and the others their old ones.
  mutating func enforce(_ policy: NodePolicy, cgroups resolution: WorkloadResolver.Resolution) throws(KernelFailure) {
    // What no workload is named for is told at a bounded rate too.
    try meters.add(WorkloadID.unnamed.rawValue, casa_meter())
    var wantedNames: Set<NameKey> = []
    for workload in policy.workloads {
      let id = workload.id.rawValue
      let compiled = workload.compiled
      try meters.add(id, casa_meter())
      if let name = workload.compiledLLMName {
        try admitted.add(id, casa_admitted())
        try llmNames.set(id, name)
      }
      for (key, use) in workload.compiledNames {
        let held = NameKey(key)
        wantedNames.insert(held)
        if heldNames[held] == .some(use) { continue }
        try names.set(key, use)
        heldNames[held] = .some(use)
      }
      if heldPolicies[id] != compiled.generation {
        try policies.set(id, compiled)
        heldPolicies[id] = compiled.generation
      }
    }
    try bindCgroups(resolution)
    for key in heldNames.keys where !wantedNames.contains(key) {
      try names.remove(key.key)
      heldNames[key] = nil
    }
    let gone = heldPolicies.keys.filter { policy[WorkloadID(rawValue: $0)] == nil }
    for id in gone {
      try policies.remove(id)
      try llmNames.remove(id)
      try admitted.remove(id)
      try meters.remove(id)
      heldPolicies[id] = nil
    }
    if !gone.isEmpty { try forgetMembers(of: Set(gone)) }
    // Last: what was judged by the former is judged anew from here on.
    try writeSettings(policy)
  }

  /// Tells which programs are in force from now on.
  mutating func declare(_ variant: ProgramVariant, under policy: NodePolicy) throws(KernelFailure) {
    if variant == self.variant { return }
    self.variant = variant
    try writeSettings(policy)
  }

  /// Writes whose each cgroup is.
  mutating func bind(_ resolution: WorkloadResolver.Resolution, of policy: NodePolicy) throws(KernelFailure) {
    if try bindCgroups(resolution) { try writeSettings(policy) }
  }

  /// - Returns: whether anything was different.
  @discardableResult
  private mutating func bindCgroups(_ resolution: WorkloadResolver.Resolution) throws(KernelFailure) -> Bool {
    var isChanged = false
    for (cgroup, workload) in resolution.workloads where heldCgroups[cgroup] != workload.rawValue {
      try cgroups.set(cgroup, workload.rawValue)
      heldCgroups[cgroup] = workload.rawValue
      isChanged = true
    }
    for cgroup in heldCgroups.keys where resolution.workloads[cgroup] == nil {
      try cgroups.remove(cgroup)
      heldCgroups[cgroup] = nil
      isChanged = true
    }
    return isChanged
  }

  /// Processes that run in a workload's cgroup already count as its processes, as those will that begin there.
  func adopt(_ processes: [UInt32], for workload: WorkloadID) throws(KernelFailure) {
    for process in processes { try members.add(process, workload.rawValue) }
  }

  /// The addresses that the LLM's name has now for a workload.
  func admittedAddresses(of workload: WorkloadPolicy, now: UInt64) throws(KernelFailure) -> Set<NetworkAddress> {
    guard let llm = workload.llm, let value = try admitted.value(workload.id.rawValue), value.llm == llm.kernelNumber
    else { return [] }
    return withUnsafeBytes(of: value.admissions) { bytes in
      Set(
        bytes.bindMemory(to: casa_admission.self).filter { $0.until_ns > now }.map { NetworkAddress($0.address) })
    }
  }

  /// How full the maps are.
  struct Fill: Sendable {
    var workloads: Int
    var names: Int
    var cgroups: Int
    var processes: Int
  }

  func fill() throws(KernelFailure) -> Fill {
    Fill(
      workloads: heldPolicies.count, names: heldNames.count, cgroups: heldCgroups.count,
      processes: try members.keys(atMost: Int(CASA_MAX_MEMBERS)).count)
  }

  /// What could not be told or kept since the maps were made.
  func lost() throws(KernelFailure) -> (events: UInt64, tokens: UInt64, processes: UInt64) {
    try losses.values(0).reduce((0, 0, 0)) { ($0.0 + $1.events, $0.1 + $1.tokens, $0.2 + $1.members) }
  }

  /// Refusals of a workload, and events that were not sent because there were too many, since it was first named.
  func counts(of workload: WorkloadPolicy) throws(KernelFailure) -> (refused: UInt64, suppressed: UInt64) {
    guard let meter = try meters.value(workload.id.rawValue) else { return (0, 0) }
    return (meter.refused, meter.suppressed.0 + meter.suppressed.1 + meter.suppressed.2)
  }

  /// Whose the sockets are is found anew by the next packet of each.
  private func writeSettings(_ policy: NodePolicy) throws(KernelFailure) {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    let identities = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    var value = policy.settings(identities: identities, eventsPerSecond: eventsPerSecond)
    value.variant = variant.rawValue
    try settings.set(0, value)
  }

  private func forgetMembers(of gone: Set<casa_workload>) throws(KernelFailure) {
    for process in try members.keys(atMost: Int(CASA_MAX_MEMBERS)) {
      if let workload = try members.value(process), gone.contains(workload) { try members.remove(process) }
    }
  }

  /// A key by its bytes.
  private struct NameKey: Hashable {
    let key: casa_name_key

    init(_ key: casa_name_key) { self.key = key }

    static func == (a: Self, b: Self) -> Bool {
      withUnsafeBytes(of: a.key) { a in withUnsafeBytes(of: b.key) { b in a.elementsEqual(b) } }
    }

    func hash(into hasher: inout Hasher) { withUnsafeBytes(of: key) { hasher.combine(bytes: $0) } }
  }
}
