import Testing

@testable import Enforcement

@Suite("The hash of a request")
struct RequestHashTests {
  private func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { RequestHash.hash($0) } }

  @Test("is the same for the same bytes, wherever they lie in memory")
  func same() {
    for count in [0, 1, 7, 8, 9, 15, 16, 17, 100, RequestKey.maximumBytes] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      let shifted = ([0] + bytes).withUnsafeBytes { RequestHash.hash(UnsafeRawBufferPointer(rebasing: $0[1...])) }
      #expect(hash(bytes) == shifted)
    }
  }

  @Test("tells apart strings of zeros by their length, and strings of one length by every bit")
  func differs() {
    var seen: Set<UInt64> = []
    var count = 0
    for length in 0...200 {
      seen.insert(hash(Array(repeating: 0, count: length)))
      count += 1
    }
    for length in [1, 8, 15, 16, 33, 200] {
      for bit in 0..<8 * length {
        var bytes: [UInt8] = Array(repeating: 0, count: length)
        bytes[bit / 8] = 1 << (bit % 8)
        seen.insert(hash(bytes))
        count += 1
      }
    }
    #expect(seen.count == count)
  }

  @Test("tells apart words that changed places, which a sum would not")
  func order() {
    let (a, b): ([UInt8], [UInt8]) = (Array(repeating: 1, count: 8), Array(repeating: 2, count: 8))
    #expect(Set([a + b + a + a, a + a + a + b, b + a + a + a, a + a + b + a].map(hash)).count == 4)
  }

  @Test("spreads requests that hardly differ over its lowest bits, by which places are chosen")
  func spread() {
    var counts = Array(repeating: 0, count: 64)
    for number in 0..<6400 {
      counts[Int(hash(Array("GET /mcp token-\(number)".utf8)) % 64)] += 1
    }
    // Each place gets 100 of them, give or take 10; a hundred more or less is no chance.
    #expect(counts.allSatisfy { (20...200).contains($0) })
  }
}
