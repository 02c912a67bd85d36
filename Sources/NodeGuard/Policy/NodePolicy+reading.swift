import AgentProtocols
import CASACore
import CNodeGuard

extension NodePolicy {
  /// The most bytes of a policy's file.
  public static let maximumBytes = 16 << 20

  private static let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 16, maximumNodes: 4_000_000)

  /// Reads the file at `path`.
  /// - Throws: `PolicyError` that says the place in the file, what was expected and what came.
  public static func load(path: String) throws(PolicyError) -> NodePolicy {
    let bytes: [UInt8]
    do {
      bytes = try BoundedFile.read(path, maximumBytes: maximumBytes)
    } catch {
      throw PolicyError("the policy can't be read: \(error)")
    }
    return try NodePolicy(parsing: bytes)
  }

  /// Reads a policy in YAML, or in JSON when the first character is `{`. JSON is read several times as fast.
  /// - Throws: `PolicyError` that says the place in the file, what was expected and what came.
  public init(parsing bytes: [UInt8]) throws(PolicyError) {
    guard bytes.count <= Self.maximumBytes else {
      throw PolicyError("expected at most \(Self.maximumBytes) bytes, got \(bytes.count)")
    }
    let fields = try PolicyMapping(
      PolicyValue(parsing: bytes, limits: Self.limits),
      known: ["resolvers", "resolver_port", "guarded", "endpoints", "workloads"])
    let resolvers = try fields.optional("resolvers") { (value) throws(PolicyError) in
      try value.list(limit: Int(CASA_MAX_RESOLVERS)) { (value, _) throws(PolicyError) in
        try value.parsed("an IP address", NetworkAddress.init(written:))
      }
    }
    let resolverPort = try fields.optional("resolver_port", Self.port)
    let guarded = try fields.optional("guarded") { (value) throws(PolicyError) in
      try value.list(limit: Int(CASA_MAX_CGROUPS)) { (value, _) throws(PolicyError) in
        try value.parsed("a cgroup's path", CgroupPath.init(parsing:))
      }
    }
    let endpoints = try fields.optional("endpoints", Self.endpoints) ?? []
    var reading = WorkloadReading(
      endpoints: Dictionary(
        uniqueKeysWithValues: endpoints.map { ($0.name.text, $0.addresses.map(AddressPrefix.init)) }),
      resolvers: resolvers ?? [], resolverPort: resolverPort ?? 53)
    let workloads = try fields.required("workloads", "a list of workloads") { (value) throws(PolicyError) in
      try value.list(limit: Int(CASA_MAX_WORKLOADS)) { (value, index) throws(PolicyError) in
        try reading.read(value, index)
      }
    }
    self.init(
      resolvers: reading.resolvers, resolverPort: reading.resolverPort, guarded: guarded ?? [], endpoints: endpoints,
      workloads: workloads)
  }

  static func port(_ value: PolicyValue) throws(PolicyError) -> UInt16 {
    try value.scalar("a port from 1 to 65535") { PortRange($0).flatMap { $0.first == $0.last ? $0.first : nil } }
  }

  static func appID(_ value: PolicyValue) throws(PolicyError) -> AppID {
    try value.scalar("the app's id") { AppID(validating: $0) }
  }

  private static func endpoints(_ value: PolicyValue) throws(PolicyError) -> [Endpoint] {
    guard let members = value.members else { throw PolicyError("expected a mapping of names, got \(value.kind)") }
    var apps: [NetworkAddress: AppID?] = [:]
    var endpoints: [Endpoint] = []
    for member in members {
      do throws(PolicyError) {
        guard let name = Name(member.name), name.text != "any" else {
          throw PolicyError("expected a name of 1 to 63 characters of a-z 0-9 - other than `any`")
        }
        let fields = try PolicyMapping(member.value, known: ["addresses", "app_id"])
        let addresses = try fields.required("addresses", "a list of IP addresses") { (value) throws(PolicyError) in
          try value.list(limit: Int(CASA_MAX_RULES)) { (value, _) throws(PolicyError) in
            try value.parsed("an IP address", NetworkAddress.init(written:))
          }
        }
        guard !addresses.isEmpty else { throw PolicyError("expected at least one address") }
        let app = try fields.optional("app_id", appID)
        for address in addresses {
          if let other = apps.updateValue(app, forKey: address), other != app {
            throw PolicyError("\(address) belongs to another endpoint of another app; who answers there must be plain")
          }
        }
        endpoints.append(Endpoint(name: name, addresses: addresses, appID: app))
      } catch {
        throw error.within(quoted(member.name), line: member.value.line)
      }
    }
    return endpoints
  }
}

extension NetworkAddress {
  /// An address in a policy's file: IPv4 in its own form, and no zone.
  /// - Throws: `PolicyError`
  init(written text: String) throws(PolicyError) {
    let prefix = try AddressPrefix(parsing: text)
    guard prefix.length == 128, !text.utf8.contains(UInt8(ascii: "/")) else {
      throw PolicyError("expected one IP address, got `\(quoted(text))`")
    }
    self = prefix.address
  }
}
