public import CASACore
public import CNodeGuard

/// What the workloads of a machine may do: the file that `casa node run --policy` reads.
public struct NodePolicy: Sendable, Hashable {
  /// The permitted DNS resolvers, at most `CASA_MAX_RESOLVERS`.
  public let resolvers: [NetworkAddress]
  public let resolverPort: UInt16
  /// Below these, what no workload is named for is denied everything.
  public let guarded: [CgroupPath]
  public let endpoints: [Endpoint]
  /// In the order of the file; at most `CASA_MAX_WORKLOADS`.
  public let workloads: [WorkloadPolicy]
  private let places: [WorkloadID: Int]
  private let apps: [NetworkAddress: AppID]

  init(
    resolvers: [NetworkAddress], resolverPort: UInt16, guarded: [CgroupPath], endpoints: [Endpoint],
    workloads: [WorkloadPolicy]
  ) {
    self.resolvers = resolvers
    self.resolverPort = resolverPort
    self.guarded = guarded
    self.endpoints = endpoints
    self.workloads = workloads
    places = Dictionary(workloads.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
    apps = Dictionary(
      endpoints.flatMap { endpoint in endpoint.appID.map { app in endpoint.addresses.map { ($0, app) } } ?? [] },
      uniquingKeysWith: { first, _ in first })
  }

  public subscript(id: WorkloadID) -> WorkloadPolicy? { places[id].map { workloads[$0] } }

  public func workload(named name: String) -> WorkloadPolicy? {
    self[WorkloadID(name: name)].flatMap { $0.name == name ? $0 : nil }
  }

  /// The registered app that an endpoint has at `address`.
  public func app(at address: NetworkAddress) -> AppID? { apps[address] }

  /// The value in the kernel's map `settings`.
  /// - Parameters:
  ///   - identities: differs whenever map `cgroups` was changed.
  ///   - shortestAdmission: an address of the LLM's name is admitted at least so long, whatever its time to live.
  ///   - longestAdmission: and at most so long.
  ///   - eventsPerSecond: of one workload and class.
  ///   - hashesTokens: whether tokens are sought in what is sent and received.
  public func settings(
    identities: UInt64, shortestAdmission: Duration = .seconds(60), longestAdmission: Duration = .seconds(3600),
    eventsPerSecond: UInt32 = 1000, hashesTokens: Bool = true
  ) -> casa_settings {
    var settings = casa_settings()
    settings.abi = UInt32(CASA_KERNEL_ABI)
    withUnsafeMutableBytes(of: &settings.resolvers) { bytes in
      let values = bytes.bindMemory(to: casa_address.self)
      for (place, resolver) in zip(values.indices, resolvers) {
        values[place] = resolver.kernelValue
        settings.resolver_count += 1
      }
    }
    settings.resolver_port = resolverPort
    settings.ttl_floor_ns = shortestAdmission.wholeNanoseconds
    settings.ttl_ceiling_ns = max(longestAdmission, shortestAdmission).wholeNanoseconds
    settings.events_per_second = eventsPerSecond
    settings.hash_tokens = hashesTokens ? 1 : 0
    settings.identities = identities
    return settings
  }
}

extension Duration {
  /// 0 for what is negative, and at most 2^63 - 1.
  fileprivate var wholeNanoseconds: UInt64 {
    let nanoseconds = Int128(components.seconds) * 1_000_000_000 + Int128(components.attoseconds / 1_000_000_000)
    return UInt64(min(max(nanoseconds, 0), Int128(Int64.max)))
  }
}
