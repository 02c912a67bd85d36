/// A hash of a request's bytes at a twentieth of the cost of Swift's own, at which nobody outside this process can aim.
/// What shares it is told apart by its bytes, so the worst that two requests can do to each other is to be forgotten.
///
/// Words are mixed with secrets and multiplied in pairs, and the halves of the product folded onto each other. Two
/// lanes, since each product waits for the one before.
enum RequestHash {
  /// Of this process, made once.
  private static let secrets = (random(), random(), random(), random())

  static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let (s0, s1, s2, s3) = secrets
    var (even, odd) = (s2, s3)
    func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
    var offset = 0
    while offset + 32 <= bytes.count {
      even = product(word(offset) ^ s0, word(offset + 8) ^ even)
      odd = product(word(offset + 16) ^ s1, word(offset + 24) ^ odd)
      offset += 32
    }
    if offset + 16 <= bytes.count { even = product(word(offset) ^ s0, word(offset + 8) ^ even) }
    // The last bytes, some for the second time, or all, filled up with zeros. Other lengths are told apart below.
    var (first, second): (UInt64, UInt64) = (0, 0)
    if bytes.count >= 16 {
      (first, second) = (word(bytes.count - 16), word(bytes.count - 8))
    } else {
      for (index, byte) in bytes.enumerated() {
        if index < 8 { first |= UInt64(byte) << (8 * index) } else { second |= UInt64(byte) << (8 * (index - 8)) }
      }
    }
    odd = product(first ^ s1, second ^ odd)
    return product(even ^ s0, odd ^ UInt64(bytes.count) ^ s2)
  }

  private static func product(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (high, low) = a.multipliedFullWidth(by: b)
    return high ^ low
  }

  private static func random() -> UInt64 { .random(in: .min ... .max) }
}
