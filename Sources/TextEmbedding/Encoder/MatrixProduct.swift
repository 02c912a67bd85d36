import COpenBLAS

/// Products of matrices in row-major order, by OpenBLAS on the calling thread.
struct MatrixProduct {
  /// Of the result.
  let rows: Int
  let columns: Int
  /// How many products are added up for each number of the result.
  let depth: Int

  /// `result` += `a` · `b`ᵀ; the strides say how far apart rows are.
  func addTransposed(
    _ a: UnsafePointer<Float>, stride aStride: Int, _ b: UnsafePointer<Float>, stride bStride: Int,
    into result: UnsafeMutablePointer<Float>, stride: Int
  ) {
    multiply(1, a, aStride, b, bStride, CblasTrans, 1, result, stride)
  }

  /// `result` = `scale` · `a` · `b`ᵀ
  func setTransposed(
    scale: Float, _ a: UnsafePointer<Float>, stride aStride: Int, _ b: UnsafePointer<Float>, stride bStride: Int,
    into result: UnsafeMutablePointer<Float>, stride: Int
  ) {
    multiply(scale, a, aStride, b, bStride, CblasTrans, 0, result, stride)
  }

  /// `result` = `a` · `b`
  func set(
    _ a: UnsafePointer<Float>, stride aStride: Int, _ b: UnsafePointer<Float>, stride bStride: Int,
    into result: UnsafeMutablePointer<Float>, stride: Int
  ) {
    multiply(1, a, aStride, b, bStride, CblasNoTrans, 0, result, stride)
  }

  private func multiply(
    _ scale: Float, _ a: UnsafePointer<Float>, _ aStride: Int, _ b: UnsafePointer<Float>, _ bStride: Int,
    _ transposition: CBLAS_TRANSPOSE, _ kept: Float, _ result: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, transposition, Int32(rows), Int32(columns), Int32(depth), scale, a, Int32(aStride),
      b, Int32(bStride), kept, result, Int32(stride))
  }
}

extension MatrixProduct {
  /// Makes sure, once for the process, that OpenBLAS uses no threads of its own, and that what it computes is so: some
  /// of its versions have kernels that are wrong on processors younger than they are.
  ///
  /// A build without threads is refused, though one thread is all that is used: its locks do not hold, and of 500
  /// processes in which two threads began to multiply at once, 23 got wrong results, silently.
  static func checkArithmetic() throws(ModelError) {
    guard isThreadSafe(parallel: openblas_get_parallel()) else {
      throw .unsafeLibrary(String(cString: openblas_get_config()))
    }
    guard isSound else { throw .unsoundArithmetic(kernel: String(cString: openblas_get_corename())) }
  }

  /// - Parameter parallel: as `openblas_get_parallel` says it: 0 without threads, 1 with POSIX threads, 2 with OpenMP
  static func isThreadSafe(parallel: Int32) -> Bool { parallel == OPENBLAS_THREAD }

  private static let isSound: Bool = {
    openblas_set_num_threads(1)
    return MatrixProduct(rows: 5, columns: 12, depth: 32).isSound
      && MatrixProduct(rows: 67, columns: 130, depth: 97).isSound
      && MatrixProduct(rows: 64, columns: 384, depth: 384).isSound
  }()

  /// Compares some numbers of a product with their sums in plain arithmetic.
  private var isSound: Bool {
    // Small whole numbers, so that every sum is exact in whatever order.
    let a = (0..<rows * depth).map { Float($0 * 7 % 23 - 11) }
    let b = (0..<columns * depth).map { Float($0 * 5 % 19 - 9) }
    let before = (0..<rows * columns).map { Float($0 % 13) }
    var transposed = before
    addTransposed(a, stride: depth, b, stride: depth, into: &transposed, stride: columns)
    var plain = before
    set(a, stride: depth, b, stride: columns, into: &plain, stride: columns)
    return stride(from: 0, to: rows * columns, by: 53).allSatisfy { place in
      let (row, column) = place.quotientAndRemainder(dividingBy: columns)
      var (expectedTransposed, expectedPlain) = (before[place], Float(0))
      for index in 0..<depth {
        expectedTransposed += a[row * depth + index] * b[column * depth + index]
        expectedPlain += a[row * depth + index] * b[index * columns + column]
      }
      return transposed[place] == expectedTransposed && plain[place] == expectedPlain
    }
  }
}
