import AgentProtocols
import CASACore

/// A compact JWS in a third of its size, for those that are kept by the hundred thousand: what it says is kept as its
/// difference from another token of its kind, which most of them hardly differ from.
struct PackedToken: Sendable {
  /// A token that others are compared with.
  fileprivate final class Example: Sendable {
    let header: String
    let payload: [UInt8]

    init(header: String, payload: [UInt8]) {
      self.header = header
      self.payload = payload
    }
  }

  /// What packed tokens have in common. Bounded; an example lives for as long as a token is packed by it.
  struct Examples: Sendable {
    fileprivate struct Kind: Hashable {
      let header: String
      let payloadCount: Int
    }

    fileprivate var byKind = GenerationalCache<Kind, Example>(capacity: 512)

    init() {}
  }

  private let example: Example
  /// `<equal bytes><other bytes><the other bytes>` until the payload is whole, each count in two bytes; then the
  /// signature.
  let difference: [UInt8]

  /// An equal run that is shorter than its counts saves nothing.
  private static let minimumRun = 5

  /// - Returns: nil for what is no compact JWS, or one of more than 64 KiB.
  init?(_ compact: String, sharing examples: inout Examples) {
    let parts = compact.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let payload = Base64URL.decode(Array(parts[1])[...]), payload.count <= UInt16.max,
      let signature = Base64URL.decode(Array(parts[2])[...])
    else { return nil }
    let kind = Examples.Kind(header: String(Substring(parts[0])), payloadCount: payload.count)
    if let known = examples.byKind[kind], haveSameBytes(known.header, kind.header) {
      example = known
    } else {
      example = Example(header: kind.header, payload: payload)
      examples.byKind[kind] = example
    }
    let changes = Self.difference(of: payload, from: example.payload)
    var difference: [UInt8] = []
    difference.reserveCapacity(changes.count + signature.count)
    difference += changes
    difference += signature
    self.difference = difference
    // What does not come out as it went in is another token.
    guard haveSameBytes(self.compact, compact) else { return nil }
  }

  var compact: String {
    var payload: [UInt8] = []
    payload.reserveCapacity(example.payload.count)
    var position = 0
    while payload.count < example.payload.count {
      let (equal, other) = (count(at: position), count(at: position + 2))
      payload += example.payload[payload.count..<(payload.count + equal)]
      payload += difference[(position + 4)..<(position + 4 + other)]
      position += 4 + other
    }
    return example.header + "." + Base64URL.encode(payload[...]) + "." + Base64URL.encode(difference[position...])
  }

  private func count(at position: Int) -> Int { Int(difference[position]) << 8 | Int(difference[position + 1]) }

  /// - Parameter example: of the same size.
  private static func difference(of payload: [UInt8], from example: [UInt8]) -> [UInt8] {
    func runEnd(from start: Int, whileEqual isEqual: Bool) -> Int {
      var end = start
      while end < payload.count, (payload[end] == example[end]) == isEqual { end += 1 }
      return end
    }
    var difference: [UInt8] = []
    var position = 0
    while position < payload.count {
      let start = runEnd(from: position, whileEqual: true)
      var end = start
      while end < payload.count {
        let next = runEnd(from: end, whileEqual: false)
        end = next
        let equal = runEnd(from: next, whileEqual: true)
        if equal - next >= minimumRun || equal == payload.count { break }
        end = equal
      }
      for count in [start - position, end - start] {
        difference += [UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
      }
      difference += payload[start..<end]
      position = end
    }
    return difference
  }
}
