public import CASACore

/// What one workload may do; whatever is not said is denied.
public struct WorkloadPolicy: Sendable, Hashable {
  /// The LLM: the one host that is known by name and not by address.
  public struct LLM: Sendable, Hashable, CustomStringConvertible {
    public let host: HostName
    public let port: UInt16
    /// Whether the first bytes to it must be a TLS ClientHello that names it.
    public let usesTLS: Bool

    public var description: String { "\(host):\(port)" }
  }

  /// 1 to 253 characters: an RFC 1123 label, or `namespace/pod/container`.
  public let name: String
  public let id: WorkloadID
  /// The registered app that it is.
  public let appID: AppID?
  public let selector: CgroupSelector
  /// Where the packet filter leads its TCP connections.
  public let proxy: SocketAddress?
  public let llm: LLM?
  /// The names that may be asked for beside the LLM's.
  public let resolvable: [NamePattern]
  public let rules: [PolicyRule]
  /// Whether any port may be bound; otherwise only those of inbound rules.
  public let bindsAnyPort: Bool
  /// Whether what would be denied is only reported.
  public let isObserved: Bool
}
