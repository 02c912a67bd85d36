/// By what something was let through, or why it was refused. The raw value is the kernel's (`enum casa_reason`).
public enum FlowReason: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case byRule = 1
  case byResolver = 2
  case byLLM = 3
  case byProxy = 4
  case byReply = 5
  case noRule = 16
  case noPolicy = 17
  case family = 18
  case type = 19
  case bind = 20
  case packet = 21
  case dnsName = 22
  case dnsForm = 23
  case dnsTCP = 24
  case dnsForged = 25
  case llmExpired = 26
  case sniOther = 27
  case sniMissing = 28
  case escape = 29
  case memory = 30

  /// Whether it lets something through.
  public var isAllowance: Bool { rawValue < Self.noRule.rawValue }

  /// The name in reports.
  public var description: String {
    switch self {
    case .byRule: "rule"
    case .byResolver: "resolver"
    case .byLLM: "llm"
    case .byProxy: "proxy"
    case .byReply: "reply"
    case .noRule: "no_rule"
    case .noPolicy: "no_policy"
    case .family: "family"
    case .type: "type"
    case .bind: "bind"
    case .packet: "packet"
    case .dnsName: "dns_name"
    case .dnsForm: "dns_form"
    case .dnsTCP: "dns_tcp"
    case .dnsForged: "dns_forged"
    case .llmExpired: "llm_expired"
    case .sniOther: "sni_other"
    case .sniMissing: "sni_missing"
    case .escape: "escape"
    case .memory: "memory"
    }
  }

  /// What it means, for people.
  public var explanation: String {
    switch self {
    case .byRule: "a rule permits it"
    case .byResolver: "the permitted resolver may be asked for the names that the policy lists"
    case .byLLM: "it is an address of the LLM's name"
    case .byProxy: "it goes to the workload's own proxy"
    case .byReply: "it answers what was let through"
    case .noRule: "no rule permits it"
    case .noPolicy: "the workload has no policy"
    case .family: "a socket of this family is not permitted"
    case .type: "a socket that is neither TCP nor UDP is not permitted"
    case .bind: "this port may not be bound"
    case .packet: "the packet is neither TCP nor UDP, or can't be read"
    case .dnsName: "this name may not be asked for"
    case .dnsForm: "it is not one plain question"
    case .dnsTCP: "DNS over TCP is not permitted"
    case .dnsForged: "nobody asked for this answer, or it is not from the resolver"
    case .llmExpired: "the address is no longer one of the LLM's name"
    case .sniOther: "the TLS ClientHello names another host than the LLM"
    case .sniMissing: "the first bytes are no TLS ClientHello that names the LLM's host"
    case .escape: "this system call could carry a socket past the guard"
    case .memory: "the kernel had no memory for the socket's state"
    }
  }
}
