import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The kernel programs as they are attached.
public struct KernelPrograms: Sendable {
  /// One program.
  public struct Program: Sendable, Hashable {
    /// As in bpf/, e.g. `casa_connect4`.
    public let name: String
    /// How many the verifier walked through when it was loaded; the kernel's limit is a million.
    public let verifiedInstructions: Int
    /// While statistics were on.
    public let runs: UInt64
    /// In nanoseconds, of all runs.
    public let runTime: UInt64
  }

  let pins: PinDirectory

  public init(pins: PinDirectory) { self.pins = pins }

  /// Loads them, with maps that are there already or are made and pinned, and attaches nothing yet.
  /// - Parameter absent: what is not used although the kernel may have it.
  /// - Throws: `KernelFailure`
  func load(without absent: Set<KernelFeature> = []) throws(KernelFailure) -> Loaded {
    try Loaded(pins, without: absent)
  }

  /// Programs that the kernel verified.
  struct Loaded: ~Copyable {
    private static let capabilities = "the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"

    private let guardian: OpaquePointer
    let variant: ProgramVariant

    fileprivate init(_ pins: PinDirectory, without absent: Set<KernelFeature>) throws(KernelFailure) {
      func isUsable(_ feature: KernelFeature) -> Bool { !absent.contains(feature) && feature.isThere }
      for feature in KernelFeature.allCases where !feature.isReplaceable && !isUsable(feature) {
        throw KernelFailure(
          code: ENOTSUP, "this kernel has no \(feature.rawValue); expected Linux \(feature.since) or later")
      }
      let variant = isUsable(.loop) ? ProgramVariant.loops : .bounded
      var failure = casa_failure()
      guard let guardian = casa_guard_load(pins.path, variant.kernelValue, &failure) else {
        let failure = KernelFailure(failure)
        guard failure.code == EPERM || failure.code == EACCES else { throw failure }
        throw KernelFailure(
          code: failure.code,
          "this process may not load kernel programs; expected \(Self.capabilities), and a directory in a BPF file system that it may write to. \(failure)"
        )
      }
      self.guardian = guardian
      self.variant = variant
    }

    deinit { casa_guard_close(guardian) }

    /// Puts them in force, in place of those that are.
    /// - Throws: `KernelFailure`, with what was in force before still so.
    func attach(to cgroups: CgroupHierarchy) throws(KernelFailure) {
      var failure = casa_failure()
      guard casa_guard_attach(guardian, cgroups.mountPoint, &failure) else { throw KernelFailure(failure) }
    }
  }

  /// Removes programs and maps: nothing is enforced from then on.
  public func detach() throws(KernelFailure) {
    var failure = casa_failure()
    guard casa_guard_detach(pins.path, &failure) else { throw KernelFailure(failure) }
  }

  /// Those that are attached, by name; empty when none are.
  public func attached() throws(KernelFailure) -> [Program] {
    try withUnsafeTemporaryAllocation(of: casa_program.self, capacity: 64) { (places) throws(KernelFailure) in
      let count = casa_guard_programs(pins.path, places.baseAddress, 64)
      if count == -ENOENT { return [] }
      guard count >= 0 else {
        throw KernelFailure(
          code: -count, "cannot list the programs pinned in \(pins): \(String(cString: strerror(-count)))")
      }
      return places.prefix(Int(count)).map { program in
        Program(
          name: withUnsafeBytes(of: program.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) },
          verifiedInstructions: Int(program.verified_instructions), runs: program.run_count,
          runTime: program.run_time_ns)
      }.sorted { $0.name < $1.name }
    }
  }

  /// Has the kernel measure every BPF program of the machine for as long as the result lives.
  public static func measuring() throws(KernelFailure) -> Measuring { try Measuring() }

  public struct Measuring: ~Copyable, Sendable {
    private let descriptor: Int32

    fileprivate init() throws(KernelFailure) {
      descriptor = bpf_enable_stats(BPF_STATS_RUN_TIME)
      guard descriptor >= 0 else {
        throw KernelFailure(
          code: errno, "cannot switch on the kernel's statistics: \(String(cString: strerror(errno)))")
      }
    }

    deinit { close(descriptor) }
  }
}
