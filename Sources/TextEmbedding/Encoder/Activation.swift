#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The activation of BERT's inner layer, x · Φ(x) with Φ the distribution function of the standard normal distribution:
/// the exact form, not the one by tanh. Its absolute error is below 2 · 10^-6.
enum GELU {
  static func apply(_ values: UnsafeMutablePointer<Float>, count: Int) {
    var index = 0
    while index + Lanes.scalarCount <= count {
      values.store(value(at: values.lanes(at: index)), at: index)
      index += Lanes.scalarCount
    }
    while index < count {
      values[index] *= 0.5 * (1 + erff(values[index] * 0.707_106_77))
      index += 1
    }
  }

  /// Φ(x) − ½ as x times a rational function of x², fitted for the least greatest error (3 · 10^-9) on |x| ≤ 5.2.
  /// Beyond that Φ is 0 or 1 as far as its digits go.
  @inline(__always)
  private static func value(at x: Lanes) -> Lanes {
    let bound: Float = 5.2
    let c = x.atLeast(Lanes(repeating: -bound)).atMost(Lanes(repeating: bound))
    let u = c * c
    var p = u * 2.473_118_2e-8 + 6.407_880_8e-6
    p = p * u + 1.568_606_8e-4
    p = p * u + 4.608_639_5e-3
    p = p * u + 3.254_446_8e-2
    p = p * u + 0.398_942_26
    var q = u * 1.258_869_4e-6 + 7.049_580e-5
    q = q * u + 1.817_197_4e-3
    q = q * u + 2.792_663_9e-2
    q = q * u + 0.248_243_23
    q = q * u + 1
    return x * (0.5 + c * p / q)
  }
}

enum Softmax {
  /// Replaces numbers by their exponentials, scaled to the sum 1.
  static func apply(_ values: UnsafeMutablePointer<Float>, count: Int) {
    let whole = count - count % Lanes.scalarCount
    var largest = -Float.infinity
    var most = Lanes(repeating: largest)
    var index = 0
    while index < whole {
      most = most.atLeast(values.lanes(at: index))
      index += Lanes.scalarCount
    }
    largest = most.max()
    while index < count {
      largest = max(largest, values[index])
      index += 1
    }

    var sums = Lanes.zero
    index = 0
    while index < whole {
      let exponential = (values.lanes(at: index) - largest).exponential
      values.store(exponential, at: index)
      sums += exponential
      index += Lanes.scalarCount
    }
    var sum = sums.sum()
    while index < count {
      values[index] = expf(values[index] - largest)
      sum += values[index]
      index += 1
    }

    let scale = 1 / sum
    index = 0
    while index < whole {
      values.store(values.lanes(at: index) * scale, at: index)
      index += Lanes.scalarCount
    }
    while index < count {
      values[index] *= scale
      index += 1
    }
  }
}
