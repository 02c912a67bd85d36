import CQuantizedEncoder
import Foundation
import Testing

@testable import TextEmbedding

/// What has to hold of 8-bit arithmetic whatever the model.
@Suite struct IntegerKernelTests {
  static let sizes = [
    (rows: 1, inputs: 1, outputs: 1), (2, 4, 64), (3, 5, 65), (4, 7, 63), (5, 64, 17), (6, 13, 130), (7, 384, 66),
    (11, 31, 192), (13, 129, 100), (29, 1538, 70),
  ]

  @Test func thePlainOneIsThereAndTheFastestComesFirst() {
    #expect(IntegerKernel.available.last == .plain)
    #expect(IntegerKernel.available.first == .fastest)
    print("kernels of 8-bit numbers on this processor:", IntegerKernel.available)
  }

  @Test(arguments: IntegerKernel.available, sizes)
  func multipliesExactly(kernel: IntegerKernel, size: (rows: Int, inputs: Int, outputs: Int)) {
    var random = RandomBits(state: 7)
    let inputs = (0..<size.rows).map { _ in (0..<size.inputs).map { _ in UInt8(random.next(below: 256)) } }
    let weights = (0..<size.outputs).map { _ in (0..<size.inputs).map { _ in Int8(random.next(below: 255) - 127) } }
    #expect(Self.product(inputs, weights, kernel) == Self.expectedProduct(inputs, weights))
  }

  /// Sums of two products of such numbers do not fit into 16 bits.
  @Test(arguments: IntegerKernel.available, [0, 1, 127, 128, 129, 255] as [UInt8])
  func multipliesTheGreatestNumbersExactly(kernel: IntegerKernel, input: UInt8) {
    for weight in [-127, 127] as [Int8] {
      for count in [3, 64, 1536] {
        let inputs = Array(repeating: Array(repeating: input, count: count), count: 7)
        let weights = Array(repeating: Array(repeating: weight, count: count), count: 65)
        #expect(Self.product(inputs, weights, kernel) == Self.expectedProduct(inputs, weights))
      }
    }
  }

  /// As many as the greatest model that is loaded can have.
  @Test(arguments: IntegerKernel.available)
  func holdsTheGreatestSum(kernel: IntegerKernel) {
    let inputs = [Array(repeating: UInt8.max, count: 65536)]
    let weights = [Array(repeating: 127 as Int8, count: 65536), Array(repeating: -127, count: 65536)]
    let greatest: Int32 = 255 * 127 * 65536
    #expect(Self.product(inputs, weights, kernel) == [[greatest, -greatest]])
  }

  @Test(arguments: IntegerKernel.available, [1, 5, 16, 20, 33, 128, 143, 384])
  func roundsToTheNearestOf256Steps(kernel: IntegerKernel, width: Int) {
    var random = RandomBits(state: 11)
    let values = (0..<3 * width).map { _ in Float(random.next(below: 2001) - 700) / 100 }
    let room = Room(rows: 3, width: width)
    let rows = room.rows.set(values, count: 3, width: width, kernel)
    for row in 0..<3 {
      for column in 0..<width {
        let block = row * QuantizedRows.blocks(width) + column / Int(CASA_BLOCK_INPUTS)
        let (step, zero) = (rows.scales[block], rows.zeros[block])
        #expect((0...255).contains(zero))
        let value = step * Float(Int32(rows.integers[row * rows.stride + column]) - zero)
        // The zero is rounded as well.
        #expect((value - values[row * width + column]).magnitude <= step * 1.001)
      }
    }
  }

  @Test(arguments: IntegerKernel.available)
  func takesWhatHasNoSteps(kernel: IntegerKernel) {
    let room = Room(rows: 1, width: 40)
    for values in [
      Array(repeating: Float(0), count: 40), Array(repeating: .nan, count: 40), Array(repeating: .infinity, count: 40),
      (0..<40).map { $0 % 2 == 0 ? .greatestFiniteMagnitude : -.greatestFiniteMagnitude },
      Array(repeating: .leastNonzeroMagnitude, count: 40),
    ] {
      let rows = room.rows.set(values, count: 1, width: 40, kernel)
      #expect((0...255).contains(rows.zeros[0]))
      if values[0] == 0 { #expect((0..<40).allSatisfy { Int32(rows.integers[$0]) == rows.zeros[0] }) }
    }
  }

  /// Models whose rows, heads and inner rows are no whole number of registers, and one whose are.
  @Test(arguments: ["tiny-first-token-f16", "tiny-mean-bf16", nil])
  func computesTheSameOnEveryProcessor(model: String?) throws {
    let folder = model.map(Golden.path) ?? Golden.defaultModel
    let texts = try Golden.texts().map(\.text).enumerated().filter { $0.offset % 30 == 0 }.map(\.element)
    let expected = try SentenceEncoder(folder: folder, arithmetic: .int8, kernel: .plain).encode(texts)
    #expect(Set(expected).count > texts.count / 2)
    for kernel in IntegerKernel.available {
      let embeddings = try SentenceEncoder(folder: folder, arithmetic: .int8, kernel: kernel).encode(texts)
      #expect(embeddings == expected, "\(kernel)")
    }
  }

  private static func product(_ inputs: [[UInt8]], _ weights: [[Int8]], _ kernel: IntegerKernel) -> [[Int32]] {
    let width = inputs[0].count
    let storage = QuantizedLinear.Storage(inputs: width, outputs: weights.count)
    for (output, row) in weights.enumerated() {
      for (input, weight) in row.enumerated() { storage.set(integer: weight, at: output, input) }
    }
    let room = Room(rows: inputs.count, width: width)
    let rows = room.rows.rows(width: width)
    for (index, row) in inputs.enumerated() {
      for (column, value) in row.enumerated() { rows.integers[index * rows.stride + column] = value }
    }
    let panels = (weights.count + 63) / 64 * 64
    var result = [Int32](repeating: 0, count: inputs.count * panels)
    storage.withMatrix { matrix in
      withUnsafePointer(to: rows) { casa_product(kernel.number, $0, inputs.count, matrix, &result) }
    }
    return inputs.indices.map { Array(result[$0 * panels..<$0 * panels + weights.count]) }
  }

  private static func expectedProduct(_ inputs: [[UInt8]], _ weights: [[Int8]]) -> [[Int32]] {
    inputs.map { input in
      weights.map { row in
        var sum: Int32 = 0
        for (value, weight) in zip(input, row) { sum += Int32(value) * Int32(weight) }
        return sum
      }
    }
  }
}

@Suite struct QuantizedEncoderTests {
  @Test func isCloseToFloatingPoint() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel, arithmetic: .int8)
    let expected = try Golden.embeddings().map(Embedding.init(normalizing:))
    let cosines = zip(encoder.encode(try Golden.texts().map(\.text)), expected).map { $0.cosine(with: $1) }
    let mean = cosines.reduce(0, +) / Float(cosines.count)
    print("cosine of 8-bit and exact embeddings: at least \(cosines.min() ?? 0), on average \(mean)")
    #expect(cosines.allSatisfy { $0 >= 0.997 })
    #expect(mean >= 0.999)
  }

  @Test func hardlyChangesWhatIsAlike() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel, arithmetic: .int8)
    let embeddings = encoder.encode(try Golden.texts().map(\.text))
    let expected = try Golden.embeddings().map(Embedding.init(normalizing:))
    let indices = Array(stride(from: 0, to: expected.count, by: 5))
    var differences: [Float] = []
    var sameNearest = 0
    for i in indices {
      let others = indices.filter { $0 != i }
      let exact = others.map { expected[i].cosine(with: expected[$0]) }
      let found = others.map { embeddings[i].cosine(with: embeddings[$0]) }
      differences += zip(exact, found).map { ($0 - $1).magnitude }
      let nearest = found.indices.max { found[$0] < found[$1] } ?? 0
      // Another may be nearest only where two are as good as equally near.
      if exact[nearest] >= (exact.max() ?? 0) - 0.01 { sameNearest += 1 }
    }
    let mean = differences.reduce(0, +) / Float(differences.count)
    print(
      "similarities differ by at most \(differences.max() ?? 0), on average \(mean);",
      "\(sameNearest) of \(indices.count) have the same nearest")
    #expect(differences.allSatisfy { $0 < 0.02 })
    #expect(mean < 0.004)
    #expect(sameNearest >= indices.count * 99 / 100)
  }

  @Test func encodesATextAloneJustAsAmongOthers() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel, arithmetic: .int8)
    let texts = (0..<40).map { String(repeating: "pay rent \($0) ", count: $0 * $0 % 90) }
    for (text, embedding) in zip(texts, encoder.encode(texts)) { #expect(encoder.encode(text) == embedding) }
    #expect(encoder.encode([]).isEmpty)
  }

  @Test func encodesOnManyThreadsAtOnce() async throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel, arithmetic: .int8)
    let texts = ["Pay the rent", "Überweise die Miete", "支付房租", "Delete every file"]
    let expected = encoder.encode(texts)
    await withTaskGroup(of: Bool.self) { group in
      for round in 0..<16 { group.addTask { encoder.encode(texts[round % 4]) == expected[round % 4] } }
      for await isEqual in group { #expect(isEqual) }
    }
  }

  /// Rounded to an integer, it would look like any other.
  @Test(arguments: ["weight", "bias"])
  func refusesAWeightThatIsNoNumber(part: String) throws {
    let folder = try TemporaryModel()
    let url = URL(fileURLWithPath: folder.path + "/model.safetensors")
    var bytes = try Data(contentsOf: url)
    let name = "encoder.layer.1.output.dense"
    let length = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
    let header = try #require(
      try JSONSerialization.jsonObject(with: bytes[8..<8 + length]) as? [String: Any])
    let entry = try #require(header["\(name).\(part)"] as? [String: Any])
    let offsets = try #require(entry["data_offsets"] as? [Int])
    // Infinity in half precision.
    bytes.replaceSubrange(8 + length + offsets[0] + 4..<8 + length + offsets[0] + 6, with: [0x00, 0x7C])
    try bytes.write(to: url)
    #expect(throws: ModelError.malformed(file: url.path, expected: "finite numbers as `\(name)`", found: "others")) {
      try SentenceEncoder(folder: folder.path, arithmetic: .int8)
    }
  }
}

/// Memory for quantized rows.
private final class Room {
  let rows: QuantizedRows

  init(rows count: Int, width: Int) {
    let bytes = count * QuantizedRows.stride(width)
    let blocks = count * QuantizedRows.blocks(width)
    rows = QuantizedRows(
      integers: .allocate(capacity: bytes), scales: .allocate(capacity: blocks), zeros: .allocate(capacity: blocks))
    rows.integers.initialize(repeating: 0xAA, count: bytes)
  }

  deinit {
    rows.integers.deallocate()
    rows.scales.deallocate()
    rows.zeros.deallocate()
  }
}

/// The same numbers in every run.
private struct RandomBits {
  var state: UInt64

  mutating func next(below bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}
