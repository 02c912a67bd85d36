/// Ports from `first` to `last`, both among them; neither is 0.
public struct PortRange: Sendable, Hashable, CustomStringConvertible {
  public let first: UInt16
  public let last: UInt16

  /// `8080` or `8000-8010`, in decimal digits without leading zeros, from 1 to 65535; nil for anything else.
  public init?(_ text: some StringProtocol) {
    let bounds = text.utf8.split(separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
    guard let low = bounds.first, let high = bounds.last, let first = Self.port(low), let last = Self.port(high),
      first <= last
    else { return nil }
    self.first = first
    self.last = last
  }

  private static func port(_ digits: some Sequence<UInt8>) -> UInt16? {
    var value: UInt16 = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      let (shifted, overflows) = value.multipliedReportingOverflow(by: 10)
      let (sum, carries) = shifted.addingReportingOverflow(UInt16(digit - UInt8(ascii: "0")))
      // Neither 0 nor a leading zero.
      guard !overflows, !carries, sum > 0 else { return nil }
      value = sum
    }
    return value > 0 ? value : nil
  }

  public func contains(_ port: UInt16) -> Bool { first <= port && port <= last }

  public var description: String { first == last ? String(first) : "\(first)-\(last)" }
}
