import CNodeGuard

/// Which of the two compiled programs. They decide and tell the same. The raw value is the kernel's (`enum
/// casa_variant`).
public enum ProgramVariant: UInt16, Sendable, CustomStringConvertible {
  /// Their loops are the kernel's own, `bpf_loop`.
  case loops = 0
  /// For kernels without: the verifier walks each loop.
  case bounded = 1

  /// As `casa node status` calls it.
  public var description: String {
    switch self {
    case .loops: "bpf_loop"
    case .bounded: "bounded"
    }
  }

  var kernelValue: casa_variant { casa_variant(UInt32(rawValue)) }
}
