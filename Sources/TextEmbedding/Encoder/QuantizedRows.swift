import CQuantizedEncoder

/// Room for the rows of one matrix as 8-bit numbers, with a scale and a zero for each block.
struct QuantizedRows {
  let integers: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<Float>
  let zeros: UnsafeMutablePointer<Int32>

  /// How many bytes lie between the beginnings of rows of so many numbers.
  static func stride(_ width: Int) -> Int { (width + 63) / 64 * 64 }

  /// How many scales and zeros a row of so many numbers has.
  static func blocks(_ width: Int) -> Int {
    (width + Int(CASA_BLOCK_INPUTS) - 1) / Int(CASA_BLOCK_INPUTS)
  }

  func rows(width: Int) -> casa_rows {
    casa_rows(stride: Self.stride(width), integers: integers, scales: scales, zeros: zeros)
  }

  /// Replaces what is there by `count` rows of `width` numbers.
  func set(_ values: UnsafePointer<Float>, count: Int, width: Int, _ kernel: IntegerKernel) -> casa_rows {
    let rows = rows(width: width)
    withUnsafePointer(to: rows) { casa_quantize(kernel.number, values, count, width, $0) }
    return rows
  }
}
