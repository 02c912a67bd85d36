/// A hash of a request's bytes at a tenth of the cost of Swift's own, at which nobody outside this process can aim: two
/// byte strings of one length, whatever they are, share it with a probability of about 2^-63 over the secrets.
///
/// First NH (RFC 4418 section 5.2.2) in words of 64 bits, then a multilinear hash of what is left and the length
/// (Lemire and Kaser, "Strongly universal string hashing is fast", 2014), which spreads it over all bits.
enum RequestHash {
  /// Of this process, made once.
  private static let words = (0..<2 * ((RequestKey.maximumBytes + 15) / 16)).map { _ in UInt64.random(in: .min ... .max)
  }
  private static let factors = (random(), random(), random(), random())

  /// - Parameter bytes: at most `RequestKey.maximumBytes`.
  static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var sum: UInt128 = 0
    words.withUnsafeBufferPointer { words in
      precondition(bytes.count <= 8 * words.count)
      var (offset, word) = (0, 0)
      while offset + 16 <= bytes.count {
        let first = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) &+ words[word]
        let second = bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self) &+ words[word + 1]
        sum &+= UInt128(first) &* UInt128(second)
        (offset, word) = (offset + 16, word + 2)
      }
      if offset < bytes.count {
        // The rest, filled up with zeros; strings of other lengths are told apart below.
        var (first, second): (UInt64, UInt64) = (0, 0)
        for (index, byte) in bytes[offset...].enumerated() {
          if index < 8 { first |= UInt64(byte) << (8 * index) } else { second |= UInt64(byte) << (8 * (index - 8)) }
        }
        sum &+= UInt128(first &+ words[word]) &* UInt128(second &+ words[word + 1])
      }
    }
    let parts = (UInt64(truncatingIfNeeded: sum), UInt64(truncatingIfNeeded: sum >> 64), UInt64(bytes.count))
    let (a, b, c, d) = factors
    let mixed = a &* UInt128(parts.0) &+ b &* UInt128(parts.1) &+ c &* UInt128(parts.2) &+ d
    return UInt64(truncatingIfNeeded: mixed >> 64)
  }

  private static func random() -> UInt128 { .random(in: .min ... .max) }
}
