import CQuantizedEncoder

/// What computes with 8-bit numbers. All kernels give the same results, bit for bit.
struct IntegerKernel: Sendable, Hashable, CustomStringConvertible {
  let number: casa_kernel
  let description: String

  private static let all = [
    IntegerKernel(number: 2, description: "AVX-512 VNNI"), IntegerKernel(number: 1, description: "AVX2"), .plain,
  ]

  /// Runs on every processor.
  static let plain = IntegerKernel(number: 0, description: "plain")

  /// Those that this processor can run, the fastest first.
  static let available = all.filter { casa_kernel_is_available($0.number) }

  static let fastest = available.first ?? .plain
}
