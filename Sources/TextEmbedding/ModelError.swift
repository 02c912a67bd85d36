/// Why a model can't be loaded.
public enum ModelError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file is not there or can't be read.
  case unreadable(file: String, reason: String)
  /// The file is not what its format says, or contradicts another one of the folder.
  case malformed(file: String, expected: String, found: String)
  /// The file describes a model of another kind than can be run here.
  case unsupported(file: String, expected: String, found: String)
  /// The linear algebra library was built without threads, and so without what keeps calls of several threads apart:
  /// now and then their results are wrong.
  case unsafeLibrary(String)
  /// The linear algebra library computes something else than the same product in plain arithmetic.
  case unsoundArithmetic(kernel: String)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason): "\(file) can't be read: \(reason)"
    case .malformed(let file, let expected, let found): "\(file): expected \(expected), found \(found)"
    case .unsupported(let file, let expected, let found):
      "\(file) describes a model that can't be run here: expected \(expected), found \(found)"
    case .unsafeLibrary(let configuration):
      "expected OpenBLAS built with POSIX threads (Debian's libopenblas-pthread-dev), found \(configuration)"
    case .unsoundArithmetic(let kernel):
      "OpenBLAS computes wrong results with its kernel \(kernel) on this processor; name another one in the environment"
        + " variable OPENBLAS_CORETYPE, such as Haswell"
    }
  }
}
