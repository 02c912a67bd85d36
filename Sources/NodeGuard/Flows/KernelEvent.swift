public import CASACore
import CNodeGuard
import Crypto

/// What the kernel programs tell (`struct casa_event`), with all that can be unknown as an optional.
public struct KernelEvent: Sendable, Hashable {
  public enum Kind: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case opened = 1
    case closed = 2
    case refused = 3
    case token = 4
    /// The LLM's name has an address. That is the node's own matter and not reported.
    case admitted = 5
    case left = 6
    /// A cgroup was made. That is the node's own matter too.
    case cgroup = 7

    public var description: String {
      switch self {
      case .opened: "flow_opened"
      case .closed: "flow_closed"
      case .refused: "flow_refused"
      case .token: "token_seen"
      case .admitted: "llm_admitted"
      case .left: "workload_left"
      case .cgroup: "cgroup_made"
      }
    }
  }

  public let kind: Kind
  /// In nanoseconds since boot.
  public let at: UInt64
  public let workload: WorkloadID
  /// nil when no process did it.
  public let cgroup: UInt64?
  /// The socket's cookie; nil where there is no socket yet.
  public let flow: UInt64?
  /// When the flow began, in nanoseconds since boot.
  public let started: UInt64
  /// In nanoseconds: how long the flow lasted so far, or how long an address is admitted.
  public let duration: UInt64
  /// Payload above TCP or UDP.
  public let bytesOut: UInt64
  public let bytesIn: UInt64
  public let packetsOut: UInt64
  public let packetsIn: UInt64
  public let local: SocketAddress?
  public let remote: SocketAddress?
  /// nil for what no hook decided.
  public let hook: KernelHook?
  public let reason: FlowReason?
  public let direction: FlowDirection?
  /// The number in the IP header; 0 when it is not known.
  public let protocolNumber: UInt8
  /// Whether it would have been refused, but the policy only observes.
  public let isObserved: Bool
  /// `PolicyRule.number`.
  public let rule: UInt16?
  /// The id of the thread group; nil when a packet arrived.
  public let process: UInt32?
  /// For `family` the address family, for `type` the socket's type (times 65536) and protocol, for `escape` the number
  /// of the system call.
  public let detail: UInt32
  /// Events of the workload that were not sent before this one.
  public let suppressed: UInt64
  /// For `token` only.
  public let token: TokenHash?
  /// Printable ASCII; empty when there is none.
  public let method: String
  public let path: String
  /// Of all the bytes: two events of the same nanosecond are told apart by it.
  private let digest: UInt64

  /// Takes one record of the ring buffer.
  /// - Throws: `KernelEventError` for a wrong length, and for numbers that this version does not know.
  public init(decoding bytes: UnsafeRawBufferPointer) throws(KernelEventError) {
    guard bytes.count == MemoryLayout<casa_event>.size else {
      throw .length(bytes.count, expected: MemoryLayout<casa_event>.size)
    }
    let event = bytes.loadUnaligned(as: casa_event.self)
    guard let kind = Kind(rawValue: event.kind) else { throw .kind(event.kind) }
    self.kind = kind
    hook = KernelHook(rawValue: event.hook)
    guard hook != nil || event.hook == 0 else { throw .hook(event.hook) }
    reason = FlowReason(rawValue: event.reason)
    guard reason != nil || event.reason == 0 else { throw .reason(event.reason) }
    direction = FlowDirection(rawValue: event.direction)
    // Which way a token went decides whether it may be there.
    guard direction != nil || (event.direction == 0 && kind != .token) else { throw .direction(event.direction) }
    at = event.at_ns
    workload = WorkloadID(rawValue: event.workload)
    cgroup = event.cgroup == 0 ? nil : event.cgroup
    flow = event.flow == 0 ? nil : event.flow
    started = event.started_ns
    duration = event.duration_ns
    bytesOut = event.bytes_out
    bytesIn = event.bytes_in
    packetsOut = event.packets_out
    packetsIn = event.packets_in
    local = Self.address(event.local, event.local_port)
    remote = Self.address(event.remote, event.remote_port)
    protocolNumber = event.protocol
    isObserved = event.observed_only != 0
    rule = event.rule == 0 ? nil : event.rule
    process = event.process == 0 ? nil : event.process
    detail = event.detail
    suppressed = event.suppressed
    token = kind == .token ? withUnsafeBytes(of: event.token) { TokenHash(digest: $0) } : nil
    method = withUnsafeBytes(of: event.method, Self.text)
    path = withUnsafeBytes(of: event.path, Self.text)
    digest = leadingDigits(SHA256.hash(data: bytes))
  }

  private static func address(_ address: casa_address, _ port: UInt16) -> SocketAddress? {
    let address = NetworkAddress(address)
    return address.bits == 0 && port == 0 ? nil : SocketAddress(address, port: port)
  }

  /// Up to the first zero; what is no printable ASCII becomes `?`.
  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    let printable = bytes.prefix { $0 != 0 }.map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
    return String(decoding: printable, as: UTF8.self)
  }

  /// Names the event among all of this machine, ever: at most 64 characters of `a-z 0-9 _ -`. The same event has the
  /// same name.
  /// - Parameter boot: `BootClock.boot`.
  public func id(boot: String) -> String {
    let numbers = [flow ?? 0, at].map { String($0, radix: 16) }
    return ([boot, kind.description] + numbers + [String(hexadecimal(digest).prefix(8))]).joined(separator: "-")
  }
}
