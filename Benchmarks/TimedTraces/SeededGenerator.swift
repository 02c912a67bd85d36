import Foundation

/// Random numbers that are the same for the same seed (SplitMix64), so that runs can be compared.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: Int) {
    // Mixed once, since the states of neighbouring seeds would follow each other.
    state = UInt64(bitPattern: Int64(seed))
    state = next()
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func happens(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }

  /// The first of `count` things most often: each about as often as the reciprocal of its place.
  mutating func skewed(_ count: Int) -> Int {
    min(count - 1, Int(pow(Double(count + 1), Double.random(in: 0..<1, using: &self))) - 1)
  }

  mutating func hex(_ bytes: Int) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes * 2)
    while text.count < bytes * 2 {
      var word = next()
      for _ in 0..<16 where text.count < bytes * 2 {
        text.append(digits[Int(word & 15)])
        word >>= 4
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
