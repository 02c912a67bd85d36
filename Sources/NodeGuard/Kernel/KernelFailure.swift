import CNodeGuard

/// What the kernel refused.
public struct KernelFailure: Error, Sendable, CustomStringConvertible {
  /// An errno.
  public let code: Int32
  public let description: String

  init(code: Int32, _ description: String) {
    self.code = code
    self.description = description
  }

  init(_ failure: casa_failure) {
    var text = withUnsafeBytes(of: failure.message) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    while text.last == "\n" { text.removeLast() }
    self.init(code: -failure.code, text)
  }
}
