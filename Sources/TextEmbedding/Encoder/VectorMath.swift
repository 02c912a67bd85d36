/// Eight numbers at a time: two registers of every x86-64 and arm64, which leaves enough of them for a polynomial.
typealias Lanes = SIMD8<Float>

extension UnsafePointer<Float> {
  @inline(__always)
  func lanes(at index: Int) -> Lanes {
    UnsafeRawPointer(self + index).loadUnaligned(as: Lanes.self)
  }
}

extension UnsafeMutablePointer<Float> {
  @inline(__always)
  func lanes(at index: Int) -> Lanes {
    UnsafeRawPointer(self + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  func store(_ lanes: Lanes, at index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(of: lanes, as: Lanes.self)
  }
}

extension Lanes {
  @inline(__always)
  func atLeast(_ bound: Lanes) -> Lanes { replacing(with: bound, where: self .< bound) }

  @inline(__always)
  func atMost(_ bound: Lanes) -> Lanes { replacing(with: bound, where: self .> bound) }

  /// e to the power of each lane, correct to about 2 units in the last place; what would be below the smallest normal
  /// number is about that, and what would be above 2^127 is that.
  @inline(__always)
  var exponential: Lanes {
    let x = atLeast(Lanes(repeating: -87.33)).atMost(Lanes(repeating: 88.02))
    // e^x = 2^n · e^r with n the whole number next to x / ln 2. Added to 1.5 · 2^23, n is what the last bits say.
    let rounding: Float = 12_582_912
    let shifted = x * 1.442_695_04 + rounding
    let n = shifted - rounding
    // ln 2 in two parts, of which the first has so few digits that its product with n is exact.
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4
    // The power series up to r^6; r is within ± ln 2 / 2, where the rest is below 2^-23.
    var sum = r * (1 / 720) + (1 / 120)
    sum = sum * r + (1 / 24)
    sum = sum * r + (1 / 6)
    sum = sum * r + 0.5
    sum = sum * r + 1
    sum = sum * r + 1
    let exponent = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23 &+ 0x3F80_0000
    return sum * unsafeBitCast(exponent, to: Lanes.self)
  }
}

/// The sum of the products of numbers at the same index; the two have equally many.
func dotProduct(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Float {
  guard let x = a.baseAddress, let y = b.baseAddress else { return 0 }
  let count = min(a.count, b.count)
  var sums = Lanes.zero
  var index = 0
  while index + Lanes.scalarCount <= count {
    sums += x.lanes(at: index) * y.lanes(at: index)
    index += Lanes.scalarCount
  }
  var sum = sums.sum()
  while index < count {
    sum += x[index] * y[index]
    index += 1
  }
  return sum
}
