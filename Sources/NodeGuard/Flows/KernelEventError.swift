/// Why bytes from the kernel are no event.
public enum KernelEventError: Error, Sendable, Hashable, CustomStringConvertible {
  case length(Int, expected: Int)
  case kind(UInt8)
  case hook(UInt8)
  case reason(UInt8)
  case direction(UInt8)

  public var description: String {
    switch self {
    case .length(let bytes, let expected): "expected an event of \(expected) bytes, got \(bytes)"
    case .kind(let value): "expected a kind from 1 to 7, got \(value)"
    case .hook(let value): "expected a hook from 0 to 7, got \(value)"
    case .reason(let value): "expected a known reason, got \(value)"
    case .direction(let value): "expected a direction that goes with the kind, got \(value)"
    }
  }
}
