/// Where the kernel decided. The raw value is the kernel's (`enum casa_hook`), the description the name in reports.
public enum KernelHook: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case create = 1
  case bind = 2
  case connect = 3
  case send = 4
  case egress = 5
  case ingress = 6
  case syscall = 7

  public var description: String {
    switch self {
    case .create: "create"
    case .bind: "bind"
    case .connect: "connect"
    case .send: "send"
    case .egress: "egress"
    case .ingress: "ingress"
    case .syscall: "syscall"
    }
  }
}
