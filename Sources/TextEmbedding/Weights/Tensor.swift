/// Numbers in row-major order that never change: those of a file where they lie, or a copy.
struct Tensor: Sendable {
  let shape: [Int]
  private let storage: Storage

  var elements: UnsafeBufferPointer<Float> { storage.elements }

  /// Gives back the memory of numbers that are those of a file, as long as nobody looks at them.
  func release() { storage.release() }

  /// The numbers of the last dimension at `row` of all others.
  func row(_ row: Int) -> UnsafeBufferPointer<Float> {
    let width = shape.last ?? 1
    return UnsafeBufferPointer(rebasing: elements[row * width..<(row + 1) * width])
  }

  private final class Storage: @unchecked Sendable {
    // Either memory of the file, which nobody writes, or memory of its own, which is written before anybody else sees
    // it.
    let elements: UnsafeBufferPointer<Float>
    private let file: MappedFile?

    init(_ elements: UnsafeBufferPointer<Float>, in file: MappedFile?) {
      self.elements = elements
      self.file = file
    }

    func release() { file?.release(UnsafeRawBufferPointer(elements)) }

    deinit {
      if file == nil { elements.deallocate() }
    }
  }

  /// Reads the tensor that `entry` describes: 32-bit numbers in place when they are aligned, others into a copy.
  /// - Returns: nil when its elements are no floating point numbers
  init?(_ entry: SafetensorsHeader.Entry, in file: MappedFile) {
    shape = entry.shape
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.bytes])
    if entry.elementType == .float32, _endianIsLittle, let start = bytes.baseAddress,
      UInt(bitPattern: start) % UInt(MemoryLayout<Float>.alignment) == 0
    {
      storage = Storage(bytes.assumingMemoryBound(to: Float.self), in: file)
      return
    }
    guard [.float32, .float16, .bfloat16].contains(entry.elementType) else { return nil }
    let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: bytes.count / entry.elementType.size)
    for index in 0..<copy.count {
      let value: Float
      switch entry.elementType {
      case .float16:
        value = Float(
          halfPrecision: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)))
      case .bfloat16:
        let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
        value = Float(bitPattern: UInt32(bits) << 16)
      default:
        let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
        value = Float(bitPattern: bits)
      }
      copy.initializeElement(at: index, to: value)
    }
    storage = Storage(UnsafeBufferPointer(copy), in: nil)
  }
}

#if _endian(little)
  private let _endianIsLittle = true
#else
  private let _endianIsLittle = false
#endif

extension Float {
  /// The number whose IEEE 754 binary16 form is `bits`; Swift's own `Float16` is not there on every platform.
  init(halfPrecision bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0: self = Float(sign: sign == 0 ? .plus : .minus, exponent: -24, significand: Float(fraction))
    case 0x1F: self.init(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: self.init(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
