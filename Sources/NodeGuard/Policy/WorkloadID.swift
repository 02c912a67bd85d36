public import CNodeGuard
import Crypto

/// How the kernel names a workload: the first eight bytes (highest first) of the SHA-256 of its name.
public struct WorkloadID: Sendable, Hashable, CustomStringConvertible {
  public let rawValue: casa_workload

  public init(rawValue: casa_workload) { self.rawValue = rawValue }

  /// What lives below a guarded cgroup and is named by no policy (`CASA_UNNAMED`).
  public static let unnamed = WorkloadID(rawValue: .max)

  public init(name: String) { rawValue = leadingDigits(SHA256.hash(data: Array(name.utf8))) }

  /// No workload's name may lead to these.
  var isReserved: Bool { rawValue == 0 || self == .unnamed }

  /// 16 hexadecimal digits.
  public var description: String { hexadecimal(rawValue) }
}

/// The first eight bytes of a digest, the first the highest.
func leadingDigits(_ digest: SHA256.Digest) -> UInt64 { digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

/// As 16 lowercase digits.
func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
